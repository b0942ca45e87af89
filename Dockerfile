# One image for CPU and CUDA machines. `make build` fills the arguments from .env; by hand:
#   docker build --build-arg DEVICE=cuda --tag multilingual-long-context .
# Needs no compiler: every dependency comes as a wheel. The CUDA libraries come with torch's own wheels, so the host
# has to have only the driver and the NVIDIA container toolkit.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

ARG DEVICE=cpu
# Where torch's CPU wheels are; empty takes whatever the default index has.
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
ARG USER_ID=1000
ARG GROUP_ID=1000

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/workspace \
    PYTHONUNBUFFERED=1 \
    GOMP_SPINCOUNT=1000 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# Non-unique: the user's numbers may be the image's own already, as group 20 of every macOS user is.
RUN groupadd --non-unique --gid ${GROUP_ID} worker \
 && useradd --non-unique --create-home --shell /bin/bash --uid ${USER_ID} --gid ${GROUP_ID} worker \
 && python3 -m venv /opt/venv \
 && mkdir -p /workspace/data /workspace/models /workspace/logs /home/worker/.cache \
 && chown -R worker:worker /workspace /home/worker/.cache

WORKDIR /workspace

# Dependencies first: this layer, the large one, is built again only when one of the three files changes.
COPY pyproject.toml constraints.txt requirements-embedded.txt ./
RUN python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*p["dependencies"], *(n for k in ("embeddings", "onnx", "space") for n in p["optional-dependencies"][k]), "tensorboard", sep="\n")' > /tmp/requirements.txt \
 && if [ "${DEVICE}" = cpu ] && [ -n "${TORCH_CPU_INDEX}" ]; then \
      pip install --constraint constraints.txt --extra-index-url "${TORCH_CPU_INDEX}" torch; \
    fi \
 && pip install --constraint constraints.txt --requirement /tmp/requirements.txt \
 && pip install --no-deps --requirement requirements-embedded.txt \
 && rm /tmp/requirements.txt

COPY --chown=worker:worker . .

USER worker
# The page (`python -m space.app`) listens where the host can reach it.
ENV GRADIO_SERVER_NAME=0.0.0.0
EXPOSE 7860
CMD ["python", "-m", "space.quickstart"]
