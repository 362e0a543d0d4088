# The usual commands. `just` lists them; https://just.systems

bin := ".venv/bin/"

_list:
    @just --list --unsorted

# Make the environment with the locked versions
install:
    python3 -m venv .venv
    {{bin}}pip install -e '.[test]' -c .ci/constraints.txt

# See the product work
demo:
    {{bin}}fluxgate demo

# Run the tests, or some of them: just test tests/gateway
test *paths:
    {{bin}}pytest -n logical {{paths}}

# Run the tests that take long
slow:
    {{bin}}pytest -n logical -m slow

# Check style, types and borders
lint:
    {{bin}}ruff check . && {{bin}}ruff format --check . && {{bin}}mypy && {{bin}}lint-imports

# Bring code to the house's form
format:
    {{bin}}ruff check --fix . && {{bin}}ruff format .

# Write gateway/REFERENCE.md from the code
reference:
    {{bin}}python -m gateway.reference

# Everything a change must pass, as CI runs it
ci:
    .ci/run
