"""The table in docs/datasets.md of which call works where, made by making every call on both generations."""

import re

import pytest

from tests.conftest import ROOT

from .test_published import publish

CALLS = [
    'datasets.load_dataset("org/xquad_long", nr_concats=3)',
    'datasets.load_dataset("org/xquad_long", nr_concats=3, trust_remote_code=True)',
    'datasets.load_dataset("org/xquad_long", "de", nr_concats=12, questions="all", trust_remote_code=True)',
    'datasets.load_dataset("org/xquad_long", "de", split="validation", streaming=True, trust_remote_code=True)',
    'datasets.load_dataset("hub_datasets/xquad_long.py", "en", data_files=FILE, trust_remote_code=True)',
    'datasets.load_dataset("org/xquad_long", revision="parquet")',
    'datasets.load_dataset("org/xquad_long", "en.3", revision="parquet")',
    'datasets.load_dataset("parquet", data_files="hf://datasets/org/xquad_long@parquet/nr_concats-3/en.parquet")',
    'hub_datasets.load_dataset("org/xquad_long", nr_concats=3)',
    'hub_datasets.load_dataset("org/xquad_long", "de", nr_concats=12, questions="all")',
    'hub_datasets.load_dataset("org/xquad_long", "de", split="validation", streaming=True)',
    'hub_datasets.load_dataset("xquad_long", "en", data_files=FILE)',
]

CODE = """
import os
import hub_datasets
os.chdir({root!r})
FILE = {file!r}

def shown(loaded):
    kind = type(loaded).__name__
    if isinstance(loaded, dict):
        return f"{{kind}}: " + ", ".join(f"{{split}} {{rows.num_rows:,}} rows" for split, rows in loaded.items())
    return f"{{kind}}: {{sum(1 for _ in loaded):,}} rows"

for call in {calls!r}:
    try:
        print(shown(eval(call)))
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}".splitlines()[0])
"""


@pytest.fixture(scope="module")
def results(module_hub, tmp_path_factory, shared_data, datasets_3, datasets_5):
    """For every call what it gives on datasets 3.6 and on 5.2."""
    folder = tmp_path_factory.mktemp("calls")
    done = publish(module_hub, folder, shared_data, "--nr_concats", "3")
    assert done.returncode == 0, done.stderr
    code = CODE.format(root=str(ROOT), file=str(shared_data / "xquad" / "xquad.en.json"), calls=CALLS)
    columns = []
    for generation in (datasets_3, datasets_5):
        environment = module_hub.env(folder, token=None) | {"HF_DATASETS_TRUST_REMOTE_CODE": "1"}
        environment["HF_HOME"] = str(folder / generation.version)
        columns.append(generation.run(code, folder, environment, with_ours=True).splitlines())
    assert all(len(column) == len(CALLS) for column in columns)
    return list(zip(CALLS, *columns, strict=True))


def test_the_table_in_the_documentation_is_what_the_calls_give(results):
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    missing = [
        line for line in (f"| `{call}` | {three} | {five} |" for call, three, five in results) if line not in page
    ]
    assert not missing, "\n".join(["docs/datasets.md lacks these lines:", *missing])
    assert len(re.findall(r"^\| `(?:hub_)?datasets\.load_dataset", page, re.MULTILINE)) == len(CALLS)
