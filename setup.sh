#!/usr/bin/env bash
# Sets up .venv with the packages of a requirements file, and says what it does: setup.sh PYTHON FILE.
# A .venv that works is kept; what it has already is not downloaded again.
set -euo pipefail
cd "$(dirname "$0")"
python=$1 requirements=$2
index=https://download.pytorch.org/whl/cpu # PyTorch's own: PyPI has only the CUDA build for Linux
cpu_size="about 190 MB" cuda_size="about 2,700 MB"
case $requirements in
*dev*) rest_size="about 240 MB" ;;
*) rest_size="about 210 MB" ;;
esac
trap 'exit 130' INT # pip ends in its own way on Ctrl-C, which must not look like a failed download

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 2
}
install() { .venv/bin/python -m pip install -qq --disable-pip-version-check "$@"; }

if ! .venv/bin/python -c 'import pip, sys; assert (3, 11) <= sys.version_info < (3, 14)' 2>/dev/null; then
  works="Codebook works with Python 3.11, 3.12 and 3.13. Name one: make PYTHON=python3.12 ..."
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
    fail "$python cannot be run. $works"
  case $version in
  3.11 | 3.12 | 3.13) ;;
  *) fail "$python is Python $version. $works" ;;
  esac
  "$python" -c "import ensurepip" 2>/dev/null ||
    fail "$python has no ensurepip, which makes .venv. On Debian: apt-get install python3-venv"
  say "creating .venv with Python $version"
  "$python" -m venv --clear .venv
fi

torch=$(sed -n 's/^torch==//p' requirements.txt)
installed=$(.venv/bin/python -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null) || true
if [ "${installed%%+*}" = "$torch" ]; then
  say "torch $installed is here"
elif [ "$(uname)" != Linux ]; then
  say "installing torch $torch (about 110 MB)"
  install --constraint requirements.txt "torch==$torch"
elif nvidia-smi >/dev/null 2>&1; then
  say "installing torch $torch for an NVIDIA GPU ($cuda_size)"
  install --constraint requirements.txt "torch==$torch"
else
  say "installing torch $torch for the CPU, as there is no NVIDIA GPU ($cpu_size)"
  # Few retries: where the index cannot be reached, the next best comes soon.
  if ! error=$(install --no-deps --retries 2 --timeout 15 --extra-index-url "$index" "torch==$torch+cpu" 2>&1); then
    say "no CPU build could be had from $index: ${error##*$'\n'}"
    say "installing torch $torch with CUDA instead ($cuda_size)"
    install --constraint requirements.txt "torch==$torch"
  fi
fi
say "installing the other packages of $requirements ($rest_size)"
install --requirement "$requirements"
say "done in $SECONDS s"
