# The targets that need more than one command are scripts in script/.

GO ?= go

# Serval means something else by the URG signal than the Go runtime, which sends it to itself to preempt goroutines, unless
# asyncpreemptoff=1 is set. Goroutines are then preempted at function calls only, and Serval has no long loop without one.
LDFLAGS := -s -w -X runtime.godebugDefault=asyncpreemptoff=1 -X serval/internal/front.ownsURG=yes

# CGO is off so that the binary is static: it runs on any Linux of its architecture. The front never loads Ruby.
bin/serval: FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $@ ./cmd/serval

build: bin/serval

# Serves examples/hello; make run EXAMPLE=sinatra PORT=3000 serves another one elsewhere.
run:
	@script/run

# All tests; FUZZTIME=0 leaves out the fuzzing, FUZZTIME=1m or 1000000x fuzzes longer.
test:
	@script/test

bench:
	@script/bench

# What clients see of restarts, and what molds save; make bench-restarts BENCHFLAGS='-restarts 5' is a short one.
bench-restarts:
	@script/bench $(BENCHFLAGS) restarts memory boot

# What clients see of the commands of systemd and of Serval, on a machine of its own with systemd and nginx; as root.
bench-page:
	@script/bench $(BENCHFLAGS) page

# The commands of the page with what they print, from end to end, as bench/results/DATE-the-page.log; as root.
page-log:
	@script/page-log

lint:
	@script/lint

clean:
	rm -rf bin

FORCE:

.PHONY: build run test bench bench-restarts bench-page page-log lint clean FORCE
