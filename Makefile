# SPDX-License-Identifier: MIT
#
# Everything that is built lies in .venv/ and build/. Nothing is installed on the system, and no
# system cmake or ninja is needed: both come from PyPI into .venv.

PYTHON ?= python3
VENV ?= .venv
BUILD ?= build
KVMIOMMU_WERROR ?= OFF
# clang's sanitizers report races more reliably than those of gcc 12.
SANITIZE_CXX ?= $(or $(shell command -v clang++-19),$(shell command -v clang++),$(CXX))
CLANG_CXX ?= clang++-19
CLANG_FORMAT ?= clang-format-19
# A free-threaded Python; none: one is built from Debian's sources.
FREE_THREADED ?=
# More for pytest: make test PYTEST_ARGS='-x tests/api'
PYTEST_ARGS ?=
# What the extension is put to under sanitizers.
HOSTILE ?= tests/property/test_hostile_calls.py tests/property/test_hostile_page_tables.py \
    tests/property/test_hostile_power.py
# What `make stress` gives each of its two programs: stress --help. CI says how much in .ci/run.
STRESS_ARGS ?= --forever
STRESS_SANITIZERS ?= asan tsan
# What `make fuzz` gives libFuzzer, and where it keeps what it found worth keeping.
FUZZ_ARGS ?=
FUZZ_CORPUS ?= $(BUILD)/fuzz-corpus
# The wheel that `make example-project` installs; none: the one that this tree was installed from.
WHEEL ?=
# What `make mutate` changes, and how much of it: tests/mutate/mutate.py --help
FILES ?=
MUTATE_ARGS ?=
TRANSCRIPTS := tests/conformance/transcripts

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

BIN := $(abspath $(VENV))/bin
# The last one: reports of sanitizers name functions where clang's symbolizer is there.
export PATH := $(BIN):$(PATH):/usr/lib/llvm-19/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Folders too, so that a file that went away counts as a change.
csrc := $(shell find csrc -type d -o -name '*.cpp' -o -name '*.h' -o -name '*.def')
package := $(shell find python -name __pycache__ -prune -o -print)
unit := $(shell find tests/unit tests/walker tests/guests tests/stress -type f)
stress := $(shell find tests/guests tests/stress -type f)
fuzz := $(shell find tests/guests -type f) $(wildcard tests/fuzz/*.cpp tests/fuzz/CMakeLists.txt)
cpp := $(shell find csrc tests/unit tests/walker tests/guests tests/stress tests/fuzz -name '*.cpp' -o -name '*.h')
bench := $(shell find bench -name '*.cpp' -o -name '*.h')
# The names that CMake caches for a build without the extension.
unit_options := -G Ninja -DKVMIOMMU_PYTHON=OFF -DKVMIOMMU_TESTS=ON -DCMAKE_BUILD_TYPE=Debug \
    -DKVMIOMMU_WERROR=$(KVMIOMMU_WERROR) -DKVMIOMMU_NAMED_REFERENCES=ON -DKVMIOMMU_STRESS=ON
# Comparisons are not traced: that took two thirds of the time, and what programs are made of is
# mostly right as it is.
fuzz_options := -G Ninja -DKVMIOMMU_PYTHON=OFF -DKVMIOMMU_FUZZ=ON -DCMAKE_BUILD_TYPE=Debug \
    -DKVMIOMMU_WERROR=$(KVMIOMMU_WERROR) -DCMAKE_CXX_COMPILER=$(CLANG_CXX) \
    -DCMAKE_CXX_FLAGS='-O1 -fno-sanitize-coverage=trace-cmp' \
    -DKVMIOMMU_SANITIZE=address,undefined,fuzzer-no-link
pip_install := python -m pip install --quiet
pip_options := --quiet --no-build-isolation --no-deps -C cmake.define.KVMIOMMU_WERROR=$(KVMIOMMU_WERROR)

.PHONY: help try test test-unit test-python test-free-threaded lint lint-python lint-cpp sanitize \
    sanitize-unit sanitize-python stress stress-asan stress-tsan stress-smoke fuzz fuzz-smoke fuzz-coverage mutate \
    cross bench engine-bench example-project wheels docs readme clean

help:
	@echo "make try       set up $(VENV), play the recorded transcripts, print a table"
	@echo "make test      set up, then the C++ unit tests and the whole Python suite"
	@echo "make lint      ruff, mypy, stubtest, clang-format, clang's thread-safety analysis"
	@echo "make sanitize  the C++ tests under ASan+UBSan and TSan, hostile calls under ASan+UBSan"
	@echo "make stress    threads run random programs, under ASan+UBSan, then under TSan: STRESS_ARGS"
	@echo "make fuzz      libFuzzer runs programs of calls until it finds something: FUZZ_ARGS"
	@echo "make stress-smoke fuzz-smoke  a bounded part of both"
	@echo "make fuzz-coverage  how much of the core the fuzzer's programs reach"
	@echo "make mutate FILES='csrc/…'  changes these files at random: is it noticed? MUTATE_ARGS"
	@echo "make test-free-threaded  the Python suite on a Python without the GIL, which it builds"
	@echo "make cross     the C++ tests on 64-bit Arm, built across and run under qemu"
	@echo "make bench     the benchmarks"
	@echo "make engine-bench  the program that times page-table engines side by side"
	@echo "make example-project  the tests of examples/edu-driver, outside of this tree"
	@echo "make wheels    a wheel from the sdist, repaired and tested without a compiler, into dist/"
	@echo "make docs      the documentation, into $(BUILD)/docs"
	@echo "make readme    run the Python examples of README.md"
	@echo "make clean     remove $(VENV) and everything that was built"
	@echo
	@echo "Variables: PYTHON=$(PYTHON) (3.11 or newer)  KVMIOMMU_WERROR=$(KVMIOMMU_WERROR)"
	@echo "           SANITIZE_CXX=$(SANITIZE_CXX)  PYTEST_ARGS='-x tests/api'"

# --- setting up: each step leaves a stamp, and runs again when what it depends on is newer ---

$(VENV)/.stamp-venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(pip_install) --upgrade pip
	touch $@

# One stamp for each dependency group of pyproject.toml.
$(VENV)/.stamp-group-%: pyproject.toml $(VENV)/.stamp-venv
	$(pip_install) --group $*
	touch $@

$(VENV)/.stamp-package: CMakeLists.txt README.md $(csrc) $(package) $(VENV)/.stamp-group-build
	rm -rf $(VENV)/wheel
	python -m pip wheel $(pip_options) --wheel-dir $(VENV)/wheel .
	$(pip_install) --no-deps --force-reinstall $(VENV)/wheel/*.whl
	$(pip_install) $(VENV)/wheel/*.whl  # what it depends on
	touch $@

# --- what people ask for ---

try: $(VENV)/.stamp-package
	@kvmiommu replay --table $(TRANSCRIPTS)

# One after the other, so that the summary of pytest comes last.
test:
	$(MAKE) test-unit
	$(MAKE) example-project
	$(MAKE) test-python

test-unit: $(BUILD)/unit/.stamp-built
	$(BUILD)/unit/tests/unit/unit_tests

test-python: $(VENV)/.stamp-package $(VENV)/.stamp-group-test
	python -m pytest $(PYTEST_ARGS)

# Where threads run side by side: what has threads, and what reads the answers of real kernels. Most
# property tests have one thread, and find nothing here that `make test` does not. With an
# interpreter of one's own:
# make test-free-threaded FREE_THREADED=python3.14t
# Hypothesis and numpy as wheels alone, if need be older ones: from source they want Rust and a while.
test-free-threaded:
	interpreter="$(FREE_THREADED)"; [[ -n $$interpreter ]] || interpreter=$$(.ci/free-threaded-python); \
	PIP_ONLY_BINARY=hypothesis,numpy $(MAKE) --no-print-directory test-python \
	    PYTHON="$$interpreter" VENV=$(BUILD)/venv-free-threaded \
	    PYTEST_ARGS="$(or $(PYTEST_ARGS),tests/api tests/conformance $(HOSTILE))"

# As a project of its own: a copy outside of this tree, in an environment of its own.
example-project: $(if $(WHEEL),,$(VENV)/.stamp-package)
	PYTHON="$(PYTHON)" .ci/example-project $(or $(WHEEL),$(VENV)/wheel/*.whl)

# Of the wheels that [tool.cibuildwheel] describes the one for this machine and its Python: built
# from the sdist alone, repaired, and tested where there is no compiler. The sdist is unpacked so
# deep that the paths between its build and its sources are as here, and ccache finds what was
# compiled before.
sdist := $(BUILD)/wheels/sdist
wheels: $(VENV)/.stamp-group-build $(VENV)/.stamp-group-wheels
	cibuildwheel --platform linux --archs x86_64,aarch64 --print-build-identifiers
	rm -rf dist $(BUILD)/wheels
	mkdir -p $(sdist)
	python -m build --no-isolation --sdist --outdir dist .
	tar --extract --strip-components=1 --directory $(sdist) --file dist/*.tar.gz
	CCACHE_BASEDIR=$(abspath $(sdist))/csrc python -m pip wheel $(pip_options) \
	    --wheel-dir $(BUILD)/wheels/linux $(sdist)
	auditwheel repair --wheel-dir dist $(BUILD)/wheels/linux/*.whl
	PYTHON="$(PYTHON)" .ci/try-wheel dist/*.whl
	PYTHON="$(PYTHON)" .ci/example-project dist/*.whl

# Those in C++ want google-benchmark (libbenchmark-dev), and are left out where it is not installed.
bench: $(VENV)/.stamp-package $(VENV)/.stamp-group-test
	if echo '#include <benchmark/benchmark.h>' | $(CXX) -x c++ -fsyntax-only - 2>/dev/null; then \
	    $(MAKE) --no-print-directory $(BUILD)/bench/.stamp-built && $(BUILD)/bench/bench/core_bench; \
	else \
	    echo "libbenchmark-dev is not installed: no benchmarks of the core alone"; \
	fi
	python -m pytest bench --benchmark-enable --benchmark-only $(PYTEST_ARGS)

$(BUILD)/bench/.stamp-built: CMakeLists.txt $(csrc) $(bench) $(VENV)/.stamp-group-build
	cmake -S . -B $(@D) -G Ninja -DKVMIOMMU_PYTHON=OFF -DKVMIOMMU_BENCH=ON
	cmake --build $(@D)
	touch $@

# Engines of libraries side by side: it knows their C interface alone, and is run by hand.
$(BUILD)/engine_bench: bench/engine_bench.cpp csrc/engine/engine_abi.h
	@mkdir -p $(@D)
	$(CXX) -std=gnu++23 -O2 -Wall -Wextra -Icsrc $< -ldl -o $@

engine-bench: $(BUILD)/engine_bench
	@$< --help

# The test group: there are pages about the plugin for pytest and the strategies.
docs: $(VENV)/.stamp-package $(VENV)/.stamp-group-docs $(VENV)/.stamp-group-test
	python -m sphinx -n -W --keep-going -q -b html -d $(BUILD)/docs-cache docs $(BUILD)/docs
	@echo "$(BUILD)/docs/index.html"

readme: $(VENV)/.stamp-package
	python .ci/run_examples.py README.md

clean:
	rm -rf $(VENV) $(BUILD) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find python tests docs -name __pycache__ -prune -exec rm -rf {} +

# --- the C++ tests: natively, once for each set of sanitizers, and for another machine ---

$(BUILD)/unit/.stamp-built: options = -DCMAKE_CXX_FLAGS=
# With clang the fuzz target comes along, so that a bounded run of it needs no build of its own.
ifneq ($(findstring clang,$(SANITIZE_CXX)),)
asan_options := -DKVMIOMMU_FUZZ=ON -DCMAKE_CXX_FLAGS='-O1 -fno-sanitize-coverage=trace-cmp' \
    -DKVMIOMMU_SANITIZE=address,undefined,fuzzer-no-link
else
asan_options := -DCMAKE_CXX_FLAGS=-O1 -DKVMIOMMU_SANITIZE=address,undefined
endif
$(BUILD)/unit-asan/.stamp-built $(BUILD)/unit-asan/.stamp-stress: options = -DCMAKE_CXX_COMPILER=$(SANITIZE_CXX) \
    $(asan_options)
$(BUILD)/unit-tsan/.stamp-built $(BUILD)/unit-tsan/.stamp-stress: options = -DCMAKE_CXX_COMPILER=$(SANITIZE_CXX) \
    -DCMAKE_CXX_FLAGS=-O1 -DKVMIOMMU_SANITIZE=thread
$(BUILD)/cross/.stamp-built: options = -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake \
    -DCMAKE_CXX_FLAGS=-O1
$(BUILD)/cross/.stamp-built: cmake/aarch64-linux-gnu.cmake

$(BUILD)/%/.stamp-built: CMakeLists.txt $(csrc) $(unit) $(VENV)/.stamp-group-build
	mkdir -p $(@D)
	cmake -S . -B $(@D) $(unit_options) $(options) >$(@D)/configure.log || { cat $(@D)/configure.log; exit 1; }
	cmake --build $(@D)
	touch $@

# Of the same builds only the stress test, for which nobody need wait for all unit tests.
$(BUILD)/%/.stamp-stress: CMakeLists.txt $(csrc) $(stress) $(VENV)/.stamp-group-build
	mkdir -p $(@D)
	cmake -S . -B $(@D) $(unit_options) $(options) >$(@D)/configure.log || { cat $(@D)/configure.log; exit 1; }
	cmake --build $(@D) --target stress
	touch $@

sanitize: sanitize-unit sanitize-python

# TSan wants the program where it expects it; setarch is not allowed in every container, and where
# it is not the program sees to it itself.
sanitize-unit: $(BUILD)/unit-asan/.stamp-built $(BUILD)/unit-tsan/.stamp-built
	$(BUILD)/unit-asan/tests/unit/unit_tests
	$$(setarch -R true 2>/dev/null && echo setarch -R) $(BUILD)/unit-tsan/tests/unit/unit_tests

# Threads that run random programs. A child of a program with threads is not TSan's to watch, so
# only ASan's forks.
stress: $(STRESS_SANITIZERS:%=stress-%)

stress-asan: $(BUILD)/unit-asan/.stamp-stress
	$(BUILD)/unit-asan/tests/stress/stress $(STRESS_ARGS) --fork-every 1000
stress-tsan: $(BUILD)/unit-tsan/.stamp-stress
	$$(setarch -R true 2>/dev/null && echo setarch -R) $(BUILD)/unit-tsan/tests/stress/stress $(STRESS_ARGS)

stress-smoke:
	$(MAKE) --no-print-directory stress STRESS_ARGS='--rounds 10'

# Which edges a program reaches is enough to tell programs apart: with counts and frequencies the
# fuzzer is busier with itself than with the calls.
fuzz_run := -max_len=4096 -len_control=0 -use_counters=0 -entropic=0 -timeout=60 \
    -print_final_stats=1 -artifact_prefix=$(BUILD)/

# What is found is a file in $(BUILD); random_fuzz --transcript FILE prints it.
fuzz: $(BUILD)/fuzz/.stamp-built
	mkdir -p $(FUZZ_CORPUS)
	$(BUILD)/fuzz/tests/fuzz/random_fuzz $(fuzz_run) $(FUZZ_ARGS) $(FUZZ_CORPUS) tests/fuzz/corpus

# From the corpus in the repository, which stays as it is; the seed is fixed, so that a run can be
# repeated.
fuzz-smoke: $(BUILD)/unit-asan/.stamp-built
	rm -rf $(BUILD)/fuzz-smoke
	mkdir -p $(BUILD)/fuzz-smoke
	$(BUILD)/unit-asan/tests/fuzz/random_fuzz $(fuzz_run) -runs=5000 -seed=1 -verbosity=0 \
	    $(BUILD)/fuzz-smoke tests/fuzz/corpus

$(BUILD)/fuzz/.stamp-built $(BUILD)/fuzz-coverage/.stamp-built: \
    CMakeLists.txt $(csrc) $(fuzz) $(VENV)/.stamp-group-build
	mkdir -p $(@D)
	cmake -S . -B $(@D) $(fuzz_options) $(options) >$(@D)/configure.log || { cat $(@D)/configure.log; exit 1; }
	cmake --build $(@D)
	touch $@

# What the corpora reach, in a build of its own without sanitizers, whose checks count as code.
$(BUILD)/fuzz-coverage/.stamp-built: options = -DKVMIOMMU_SANITIZE=fuzzer-no-link \
    -DCMAKE_CXX_FLAGS='-fprofile-instr-generate -fcoverage-mapping'

fuzz-coverage: $(BUILD)/fuzz-coverage/.stamp-built
	mkdir -p $(FUZZ_CORPUS)
	LLVM_PROFILE_FILE=$(BUILD)/fuzz-coverage/raw $(BUILD)/fuzz-coverage/tests/fuzz/random_fuzz \
	    $(fuzz_run) -runs=0 -verbosity=0 tests/fuzz/corpus $(FUZZ_CORPUS)
	llvm-profdata merge -o $(BUILD)/fuzz-coverage/profile $(BUILD)/fuzz-coverage/raw
	for folder in vfio kvm spapr iommu; do \
	    llvm-cov report $(BUILD)/fuzz-coverage/tests/fuzz/random_fuzz \
	        -instr-profile=$(BUILD)/fuzz-coverage/profile csrc/$$folder | tail -1 | \
	        awk -v folder=$$folder '{ printf "csrc/%-6s functions %s of %d, lines %s of %d\n", folder, $$7, $$5, $$10, $$8 }'; \
	done

mutate: $(VENV)/.stamp-group-build $(VENV)/.stamp-group-test
	python tests/mutate/mutate.py $(MUTATE_ARGS) $(FILES)

# The toolchain file says what runs them.
cross: $(BUILD)/cross/.stamp-built
	ctest --test-dir $(BUILD)/cross --verbose

# The extension with gcc's sanitizers, in a folder of its own before the installed one. Python
# itself is not built with them, so their library is loaded first, and libstdc++ with it, or an
# exception could not be caught. Python's own leaks are not ours to report.
$(BUILD)/asan-package/.stamp-installed: CMakeLists.txt $(csrc) $(package) \
    $(VENV)/.stamp-group-build
	rm -rf $(@D)
	CXX=g++ python -m pip install $(pip_options) --target $(@D) -C build-dir=$(BUILD)/asan-extension \
	    -C cmake.build-type=Debug -C cmake.define.CMAKE_CXX_FLAGS=-O1 \
	    -C cmake.define.KVMIOMMU_SANITIZE=address,undefined .
	touch $@

sanitize-python: $(BUILD)/asan-package/.stamp-installed $(VENV)/.stamp-group-test
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	    ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$(BUILD)/asan-package \
	    $(BIN)/python -m pytest -p no:cacheprovider $(HOSTILE)

# --- lint ---

lint:
	$(MAKE) lint-python
	$(MAKE) --jobs=$$(nproc) --no-print-directory lint-cpp

# The package has a plugin for pytest, so its types must be there.
lint-python: $(VENV)/.stamp-package $(VENV)/.stamp-group-lint $(VENV)/.stamp-group-test
	ruff check .
	ruff format --check .
	mypy
	for version in 3.11 3.12 3.13 3.14; do \
	    MYPYPATH=python mypy --strict --python-version $$version tests/typing; done
	MYPYPATH=python python -m mypy.stubtest kvmiommu._core --allowlist tests/stubtest-allowlist.txt

lint-cpp: $(BUILD)/lint/.stamp-format \
    $(patsubst %.cpp,$(BUILD)/lint/%.stamp-safe,$(filter %.cpp,$(cpp)))

$(BUILD)/lint/.stamp-format: .clang-format $(cpp) $(bench)
	@echo "$(CLANG_FORMAT) --dry-run -Werror, $(words $(cpp) $(bench)) files"
	@$(CLANG_FORMAT) --dry-run -Werror $(cpp) $(bench)
	@mkdir -p $(@D) && touch $@

# Nothing is generated: clang reads each file and checks who holds which mutex.
$(BUILD)/lint/%.stamp-safe: %.cpp $(VENV)/.stamp-group-build
	@echo "$(CLANG_CXX) -Wthread-safety $<"
	@mkdir -p $(@D)
	@$(CLANG_CXX) -std=gnu++23 -fsyntax-only -Wall -Wextra -Wshadow -Wnon-virtual-dtor \
	    -Wthread-safety -Werror -Icsrc -Itests $$(python -m pybind11 --includes) -MMD -MP -MT $@ -MF $@.d $<
	@touch $@

-include $(shell find $(BUILD)/lint -name '*.d' 2>/dev/null)
