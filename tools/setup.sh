#!/bin/sh
# Make or renew a virtual environment with everything in it. Called by the Makefile:
#
#     tools/setup.sh FOLDER TORCH
#
# TORCH  default  the pinned versions, with the torch build that the platform gets by default
#        cpu      the pinned versions, with the CPU-only torch build (needs PyTorch's own CPU index)
#        newest   the newest versions of everything, no pins
#
# PYTHON names the Python to use; without it the first of the names below that is 3.10 or newer is taken.
# An environment whose set-up was interrupted, that was moved, or whose Python is gone, is made anew.
set -eu
venv=$1
torch=$2
project='.[notebooks,export,site,test]'
start=$(date +%s)
cd "$(dirname "$0")/.."
here=$(pwd -P)

# Nothing from an active environment or a personal pip set-up may leak into ours.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV CONDA_PREFIX PIP_TARGET PIP_PREFIX
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

fail() {
    printf 'set-up: %s\n' "$*" >&2
    exit 1
}

# Sets $python to the first Python that is new enough and can make environments.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.13 python3.12 python3.11 python3.10 python3 python
    fi
    without_venv=
    for python in "$@"; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 || continue
        "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
        without_venv=$without_venv${without_venv:+, }$python
    done
    [ -z "$without_venv" ] ||
        fail "$without_venv cannot make virtual environments (no ensurepip); install python3-venv, or use make PYTHON=/path/to/another/python3"
    fail "no Python 3.10 or newer found (tried: $*); install one, or use make PYTHON=/path/to/python3"
}

# The environment starts, has pip, and was made for this folder (its scripts hold absolute paths).
healthy() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && grep -qF "$here/$venv" "$venv/bin/activate"
}

new_venv() {
    find_python
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "$python could not make $venv; see the lines above"
}

run_pip() {
    "$venv/bin/python" -m pip install -q "$@" || fail "pip failed; see the lines above, then run make again"
}

case $torch in
default) size='about 6 GB' ;;
cpu) size='about 2 GB' ;;
newest) size='newest versions, about 6 GB' ;;
*) fail "TORCH=$torch is not known; use TORCH=cpu or TORCH=default" ;;
esac

# $venv/.made-for is written when a set-up starts, $venv/.ready when it is complete.
made_for=$(cat "$venv/.made-for" 2>/dev/null || true)
if [ -n "$made_for" ] && [ ! -e "$venv/.ready" ]; then
    echo "The last set-up of $venv was interrupted; starting afresh."
    new_venv
elif ! healthy; then
    new_venv
fi

echo "Setting up $venv with $("$venv/bin/python" -V) ($size, 2 to 3 minutes the first time) ..."

if [ "$torch" = cpu ]; then
    run_pip -c constraints.txt uv
    # Ask for torch alone first: where the index cannot be reached, a working environment stays as it is.
    echo torch | "$venv/bin/uv" pip compile -q --no-deps --torch-backend cpu -c constraints.txt - >"$venv/uv.log" 2>&1 || {
        fail "TORCH=cpu: torch could not be taken from PyTorch's own CPU index (details: $venv/uv.log); check the network, or use TORCH=default"
    }
fi

# Another torch build would count as installed, so a switch starts from an empty environment.
if [ -n "$made_for" ] && [ "$made_for" != "$torch $here" ]; then
    new_venv
    [ "$torch" != cpu ] || run_pip -c constraints.txt uv
fi

rm -f "$venv/.ready"
printf '%s\n' "$torch $here" >"$venv/.made-for"
case $torch in
default) run_pip -c constraints.txt -e "$project" ;;
newest) run_pip --upgrade --upgrade-strategy eager -e "$project" ;;
cpu)
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --torch-backend cpu -c constraints.txt -e "$project" ||
        fail "uv failed; see the lines above, then run make again"
    ;;
esac
"$venv/bin/python" -c 'import torch, torchvision, dfr_core' || fail "the installed packages do not start; see the lines above"
touch "$venv/.ready"
echo "$venv is ready ($(($(date +%s) - start)) s)."
