# Everything a newcomer needs: `make train`, `make test`. `make help` lists the rest.

CARGO ?= cargo
# openblas where it can be linked, so that it is compared wherever it is there.
OPENBLAS = $$(scripts/openblas && echo --features openblas)

.PHONY: help train test soak bench ladder asm-check results compare experiments ulp example fmt lint doc clean

help:
	@echo 'make train      train on the built-in digits; leaves runs/digits-1, then runs/digits-2, ...'
	@echo 'make test       every test that this machine can run; says what it leaves out'
	@echo 'make soak       the long proof, part by part; adds to results/soak (PARTS="memory exact" for some; hours)'
	@echo 'make bench      kernels and training steps on every backend (minutes)'
	@echo 'make ladder     from three plain loops to the fused kernel: the table of docs/KERNELS.md'
	@echo 'make asm-check  that the loop of each hot kernel is what it is meant to be'
	@echo 'make results    the kernels beside other libraries: results/PROCESSOR/DATE (minutes; PARTS="gemm step" for some)'
	@echo 'make compare    the training step beside PyTorch and JAX, installed by pip: the same folder (minutes)'
	@echo 'make experiments published results, done again, each with a gate: results/experiments (an hour or two; NAMES="linear-digits" for some)'
	@echo 'make ulp        the elementary functions over all 2^32 inputs (minutes)'
	@echo 'make example    the kernels inside somebody else'"'"'s trainer'
	@echo 'make fmt        format'
	@echo 'make lint       formatting, and clippy with warnings denied'
	@echo 'make doc        the documentation, warnings denied'
	@echo 'make clean      remove what was built'

train:
	$(CARGO) run --release -q -p sae-harness --bin sae -- train --config harness/experiments/digits.toml

test:
	scripts/test

# Each part under half an hour: docs/TESTING.md.
soak:
	scripts/soak $(if $(filter command line environment,$(origin PARTS)),$(PARTS))

bench:
	$(CARGO) bench $(OPENBLAS)

ladder:
	$(CARGO) bench -q --bench ladder

asm-check:
	scripts/asm-check

# PARTS: gemm encode step batched phases odd growth. CBLAS: paths of libraries with the C interface of BLAS; those that
# `make compare` has installed where none is named. SHAPES: batch,d_in,d_hid of those races alone that are to be measured.
PARTS ?= gemm encode step batched phases odd growth
CBLAS ?= $(shell scripts/compare libraries)
results:
	$(CARGO) build --release -q -p sae-compare $(OPENBLAS)
	$${CARGO_TARGET_DIR:-target}/release/sae-compare $(PARTS:%=--part %) $(SHAPES:%=--shape %) $(CBLAS:%=--cblas %)

compare:
	scripts/compare $(SHAPES:%=--shape %)

# DATA: the folder of data sets; an experiment whose data are missing is skipped.
DATA ?= ../shared/data
experiments:
	$(CARGO) run --release -q -p sae-harness --bin sae -- experiments --data $(DATA) $(NAMES)

ulp:
	$(CARGO) test --release -p sae-kernels --test ulp -- --ignored --nocapture --test-threads 1

example:
	$(CARGO) run --release -q -p sae-kernels --example classifier

fmt:
	$(CARGO) fmt --all

lint:
	scripts/lint

doc:
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps --workspace

clean:
	$(CARGO) clean
