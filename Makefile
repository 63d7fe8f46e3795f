# The DFR laboratory. `make` lists what there is. Needs only make, git and Python 3.10 or newer.

# Options, set on the command line. Empty ones leave the choice to the command (see `.venv/bin/dfr reproduce --help`).
EDITION :=
DATA :=
SEEDS :=
JOBS :=
ARGS :=

# .venv/.made-for holds "TORCH FOLDER" of the last set-up: a chosen TORCH stays until another is chosen,
# and an environment that does not start, was moved, or was made for another TORCH is set up again.
MADE_FOR := $(shell .venv/bin/python -c 'print(open(".venv/.made-for").read())' 2>/dev/null)
TORCH := $(or $(firstword $(MADE_FOR)),default)
PYTHON ?=

# How many notebooks are run at a time; each of them on one core.
WORKERS := 2
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

# Whatever environment is active, only ours is used.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV CONDA_PREFIX

.DEFAULT_GOAL := help
.PHONY: help setup figures test test-lax test-embedded lab notebooks gallery slides site bench lint pins clean distclean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  Set-up happens by itself, once, into .venv. Options:"
	@echo "    TORCH=cpu            the CPU-only torch build, 2 GB instead of 6 (laptops without an NVIDIA card;"
	@echo "                         kept until TORCH=default)              make figures TORCH=cpu"
	@echo "    PYTHON=/path         the Python to set up with              make setup PYTHON=/usr/bin/python3.12"
	@echo "    EDITION DATA SEEDS JOBS   for figures; EDITION for lab too   make figures EDITION=paper DATA=/path SEEDS=3"
	@echo "    ARGS='...'           more options for figures, bench, lab, test   make bench ARGS='--device cuda'"

setup: .venv/.ready ## make .venv with everything in it (the others do this by themselves)

.venv/.ready: pyproject.toml constraints.txt tools/setup.sh
	@PYTHON='$(PYTHON)' sh tools/setup.sh .venv '$(TORCH)'

ifneq "$(MADE_FOR)" "$(TORCH) $(CURDIR)"
.venv/.ready: FORCE
endif

figures: setup ## every figure and table, into figures/ (other editions: figures-EDITION/)
	.venv/bin/dfr reproduce \
	    $(if $(EDITION),--edition '$(EDITION)') $(if $(DATA),--data '$(DATA)') \
	    $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(JOBS),--jobs '$(JOBS)') $(ARGS)

test: setup ## the tests, then every notebook compared with its saved outputs
	.venv/bin/python -m pytest $(ARGS)
ifneq "$(NOTEBOOKS)" ""
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg \
	    -n $(WORKERS) --dist loadfile notebooks
endif

test-lax: ## the same with the newest versions of everything, in .venv-lax; notebooks only need to run
	@PYTHON='$(PYTHON)' sh tools/setup.sh .venv-lax newest
	.venv-lax/bin/python -m pytest $(ARGS)
ifneq "$(NOTEBOOKS)" ""
	OMP_NUM_THREADS=1 .venv-lax/bin/python -m pytest --nbval-lax --nbval-current-env -n $(WORKERS) --dist loadfile notebooks
endif

test-embedded: setup ## every notebook in the embedded edition: all its claims must hold there too (five minutes)
	DFR_EDITION=embedded OMP_NUM_THREADS=1 .venv/bin/python -m pytest --nbval-lax --nbval-current-env \
	    -n $(WORKERS) --dist loadfile notebooks $(ARGS)

# In the edition whose numbers are saved, unless another is asked for (EDITION=embedded).
lab: setup ## open the course in JupyterLab
	DFR_EDITION=$${DFR_EDITION:-$(or $(EDITION),quick)} .venv/bin/jupyter lab --notebook-dir notebooks $(ARGS)

notebooks: setup ## build the notebooks from their sources, run them and save their outputs
	.venv/bin/python notebooks/build.py

gallery: setup ## the notebooks as static HTML that opens offline
	.venv/bin/python notebooks/gallery.py

slides: setup ## one deck for a lecture of 90 minutes, slides/index.html, with sharp figures
	.venv/bin/python notebooks/slides.py

site: slides ## course, slides, figures, reference and teacher's pages as one folder, site/, that opens offline
	.venv/bin/python tools/make_site.py --slides slides/index.html

bench: setup ## measure speed and memory
	.venv/bin/dfr bench $(ARGS)

lint: setup ## check the style
	.venv/bin/ruff check .

pins: setup ## renew constraints.txt from pyproject.toml (ARGS=--upgrade: newest versions)
	.venv/bin/uv pip compile -q --universal --python-version 3.10 --all-extras --no-annotate \
	    --custom-compile-command 'make pins' pyproject.toml -o constraints.txt $(ARGS)

clean: ## remove caches and build leftovers
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find dfr_core tests notebooks tools \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

distclean: clean ## also remove .venv and .venv-lax
	rm -rf .venv .venv-lax
