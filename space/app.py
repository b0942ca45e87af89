"""Start the page: a document, a question, and the answer in its place.

    python -m space.app                              # http://127.0.0.1:7860, the embedded model, no Hub needed
    SPACE_MODEL=org/xlm-long-qa python -m space.app  # any question-answering model: a Hub id or a folder

Nothing that a visitor sends is kept: a file is deleted as soon as its text is read, the document lives in the visitor's
own browser, and the log holds counts and no text.
"""

import logging
import os
import socket
import warnings

from foundation.cli import UserError, command_parser, run

PORT = 7860


def check_port(host: str, port: int) -> None:
    """Say that the page cannot listen there before the model is loaded, which takes longer."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port} on --host {host} cannot be used ({error}): give another --port") from error


def port_of_environment() -> int:
    """GRADIO_SERVER_PORT, which containers and Spaces set, else 7860."""
    given = os.environ.get("GRADIO_SERVER_PORT", str(PORT))
    if not given.isdecimal():
        raise UserError(f"GRADIO_SERVER_PORT is {given!r}: give a port such as {PORT}, or leave it unset")
    return int(given)


def quiet() -> None:
    """Say what this page does, and nothing of the libraries' own affairs."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for name in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def main() -> None:
    parser = command_parser(
        description="Serve the page that answers questions about long documents.",
        example="SPACE_MODEL=org/xlm-long-qa python -m space.app --port 7861",
    )
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    parser.add_argument("--host", default=host, help="address to listen on; 0.0.0.0 for every network")
    parser.add_argument("--port", type=int, help=f"port to listen on; by default $GRADIO_SERVER_PORT, else {PORT}")
    parser.add_argument(
        "--root_path",
        default=os.environ.get("GRADIO_ROOT_PATH", ""),
        help="path under which a proxy shows the page, such as /ask, where it is not the root of its host",
    )
    arguments = parser.parse_args()
    in_environment = port_of_environment()  # also with --port: gradio fails on a bad one while it is imported
    port = in_environment if arguments.port is None else arguments.port
    check_port(arguments.host, port)
    quiet()

    from space.documents import MAX_CHARACTERS
    from space.model import check_space_model
    from space.pace import warmed_up
    from space.page import build_page, launch_options
    from space.reader import load_reader

    model = check_space_model(os.environ.get("SPACE_MODEL", ""))
    try:
        reader = load_reader(model)
    except UserError as error:  # the rooms below name their flag
        raise UserError(str(error).replace("--model_name_or_path", "SPACE_MODEL")) from error
    logging.getLogger("space").info(
        "model %s, windows of %d tokens, %d characters at most", reader.name, reader.max_length, MAX_CHARACTERS
    )
    build_page(reader, pace=warmed_up(reader)).launch(
        server_name=arguments.host, server_port=port, root_path=arguments.root_path, **launch_options(reader)
    )


if __name__ == "__main__":
    run(main)
