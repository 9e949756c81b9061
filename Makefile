# `make demo` and `make test` each set up what they need. Python 3.11, 3.12 or 3.13 and make must be there; no network but the package index.
SHELL  := /bin/sh
FITS   := import sys, venv, ensurepip; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))
ifndef PYTHON
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do "$$p" -c "$(FITS)" 2>/dev/null && echo "$$p" && break; done)
endif
PYVER  := $(shell "$(PYTHON)" -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
PIP    := -m pip install -qq --disable-pip-version-check
READY  := .venv/ready-$(PYVER)
READY2 := .venv-current/ready-$(PYVER)
export HF_HUB_OFFLINE = 1

.PHONY: help demo test test-tpu older families export readme docs clean .venv .venv-current python

help:
	@echo "make demo    train on handwritten digits and write a submission (first 2 to 5 minutes of installation, then about 2)"
	@echo "make test    every check and every notebook, on both sets of versions (installation, then a few minutes on 2 cores)"
	@echo "make older   every notebook on the older versions of Kaggle's image, in a third environment"
	@echo "make test-tpu  the TPU notebook with torch_xla on the processor, in a fourth environment (installation, then some 10 minutes)"
	@echo "make families  a small member of every family of timm through the adapter (minutes on 2 cores; goes on where it was stopped)"
	@echo "make export  notebooks -> cvkit/, and the notebooks cleaned"
	@echo "make readme  nbs/index.ipynb -> README.md"
	@echo "make docs    notebooks -> _docs/ (with Quarto where it is installed)"
	@echo "make clean   take the environments and everything else that was made away"
	@echo "PYTHON=...   which Python to use; now: $(PYTHON) $(PYVER)"

demo: $(READY)
	@echo "== Demo: 1,797 handwritten digits, EfficientNet-Lite0 with ImageNet weights; about 2 minutes on 2 cores"
	@rm -rf demo
	.venv/bin/python -c "from cvkit.testing import digits_competition; digits_competition('demo/digits')"
	.venv/bin/cvkit_run demo/digits --minutes 1.5 --out demo/submission.csv
	@.venv/bin/python .ci/score.py demo/submission.csv demo/digits/solution.csv .95

test: $(READY) $(READY2)
	@echo "== Checks and notebooks; a few minutes on 2 cores"
	@.venv/bin/python .ci/checks.py

# Every notebook on the still older versions of constraints/older.txt, in an environment of its own
older: python
	@test -d .venv-older/lib/python$(PYVER) && .venv-older/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv-older
	@.venv-older/bin/python $(PIP) -c constraints/older.txt -e ".[demo,fast,formats,dev]"
	OMP_NUM_THREADS=1 .venv-older/bin/nbdev_test --n_workers 2 --timing

# torch_xla has one version of torch that it fits
test-tpu: python
	@test -d .venv-tpu/lib/python$(PYVER) && .venv-tpu/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv-tpu
	@.venv-tpu/bin/python $(PIP) -c constraints/tpu.txt -e ".[demo,fast,tpu]" nbdev ipykernel
	PJRT_DEVICE=CPU CPU_NUM_DEVICES=2 OMP_NUM_THREADS=1 .venv-tpu/bin/nbdev_test --path nbs/39d_tpu.ipynb --flags xla --n_workers 0 --do_print

families: $(READY)
	OMP_NUM_THREADS=1 .venv/bin/python bench/families.py --jobs 2

export: $(READY)
	.venv/bin/nbdev_export
	.venv/bin/nbdev_clean

readme: $(READY)
	.venv/bin/python .ci/pages.py readme

docs: $(READY)
	@if command -v quarto >/dev/null; then .venv/bin/nbdev_docs; else .venv/bin/python .ci/pages.py docs; fi

clean:
	rm -rf .venv .venv-current .venv-older .venv-tpu demo build dist _docs _proc cvkit.egg-info

.venv: $(READY)
.venv-current: $(READY2)

python:
	@test -n "$(PYVER)" || { echo "cvkit needs Python 3.11, 3.12 or 3.13 with venv: install one, or name it: make PYTHON=/path/to/python3"; exit 2; }
	@"$(PYTHON)" -c "$(FITS)" || { echo "$(PYTHON) is Python $(PYVER); cvkit needs 3.11, 3.12 or 3.13 with venv: make PYTHON=/path/to/python3"; exit 2; }

$(READY): constraints/kaggle.txt settings.ini setup.py pyproject.toml | python
	@echo "== Setting up .venv with $(PYTHON) $(PYVER): about 6 GB, nearly all of it torch; 2 to 5 minutes"
	@test -d .venv/lib/python$(PYVER) && .venv/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
	@.venv/bin/python $(PIP) -c constraints/kaggle.txt -e ".[demo,fast,formats,dev]"
	@touch $@

# The second environment reads the first one's packages and holds only those that differ.
$(READY2): constraints/current.txt $(READY)
	@echo "== Setting up .venv-current, which borrows torch from .venv: about half a minute"
	@test -d .venv-current/lib/python$(PYVER) && .venv-current/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv-current
	@echo "$(CURDIR)/.venv/lib/python$(PYVER)/site-packages" > .venv-current/lib/python$(PYVER)/site-packages/borrowed.pth
	@.venv-current/bin/python $(PIP) -c constraints/current.txt -e ".[demo,fast,formats,dev]"
	@touch $@
