/*
 * Turns: who has read a request need not wait for the end of a computation.
 *
 * Ruby lets a thread compute for 100 ms before another one gets the interpreter's lock. The guard is a thread of ours, which Ruby does
 * not know. While long computations are about, and somebody who has read something has wanted the lock for PATIENCE, it has the thread that
 * computes let go of it, at the places where Ruby would have switched threads as well. Else it sleeps.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <ruby.h>
#include <ruby/debug.h>
#include <ruby/thread.h>
#include <ruby/version.h>

#define PATIENCE 1000000   /* nanoseconds */
#define FRESH 5000000      /* nanoseconds for which a thread has just read something */
#define GUARDED 1000000000 /* nanoseconds that the guard is rung for after a call of guard, or after a turn that it gave */

static struct {
  int wanting;     /* threads that have read something and wait for the lock */
  int64_t since;   /* since when the first of them does, or the lock was let go of for them */
  int64_t until;   /* until when the guard is rung for */
  unsigned given;  /* how often the lock was to be let go of */
  int there;       /* whether there is a guard in this process */
  int ended;       /* whether Ruby is about to be taken apart, and asked nothing any more */
  pthread_t guard; /* with there */
  sem_t bell;      /* rung for a guard that sleeps */
} turns;
#define GET(field) __atomic_load_n(&turns.field, __ATOMIC_SEQ_CST)
#define SET(field, value) __atomic_store_n(&turns.field, value, __ATOMIC_SEQ_CST)

static int64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* The lock is not given to who waits, but let go of: it takes a moment until another thread is awake and has it. */
static void *let_go(void *ignored) {
  struct timespec moment = { 0, 20000 };
  nanosleep(&moment, NULL);
  return NULL;
}

/* Not rb_thread_schedule, which raises what was sent to the thread (Thread#kill, Timeout): Ruby drops exceptions in here. */
static void give_turn(void *ignored) { rb_thread_call_without_gvl2(let_go, NULL, NULL, NULL); }

/* Ruby 3.0 crashes when a thread that it does not know asks it for something (its bug 17573). Before 3.3 a place in its list of jobs counted a moment
 * before there was something in it: the first ones get something that can be called. */
#define RUBY_API (RUBY_API_VERSION_MAJOR * 100 + RUBY_API_VERSION_MINOR)
#define GUARDS (RUBY_API != 300)
#if RUBY_API >= 303
static rb_postponed_job_handle_t giving;
static void prepare_giving(void) { giving = rb_postponed_job_preregister(0, give_turn, NULL); }
static void have_turn_given(void) { rb_postponed_job_trigger(giving); }
#else
static void nothing(void *ignored) {}
static void prepare_giving(void) {
  for (int i = 0; i < 16; i++) rb_postponed_job_register(0, nothing, NULL);
}
static void have_turn_given(void) { rb_postponed_job_register_one(0, give_turn, NULL); }
#endif

static void *guard_turns(void *ignored) {
  struct timespec nap = { 0, PATIENCE };
  prctl(PR_SET_NAME, "serval turns");
  while (!GET(ended)) {
    if (GET(wanting) == 0 || GET(until) < nanoseconds()) sem_wait(&turns.bell);
    nanosleep(&nap, NULL); /* also if it is settled already: under load it would be woken for each request */
    while (sem_trywait(&turns.bell) == 0) {}
    int64_t now = nanoseconds();
    if (GET(ended) || GET(wanting) == 0 || now - GET(since) < PATIENCE) continue;
    SET(since, now);
    SET(until, now + GUARDED);
    __atomic_add_fetch(&turns.given, 1, __ATOMIC_SEQ_CST);
    have_turn_given();
  }
  return NULL;
}

static void start_guard(void) {
  sigset_t all, before;
  sigfillset(&all); /* signals are for Ruby's threads */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  turns.there = pthread_create(&turns.guard, NULL, guard_turns, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Accelerator.guard: a long computation has been seen. */
static VALUE turns_guard(VALUE self) {
  int64_t now = nanoseconds(), was = GET(until);
  if (!GUARDS || GET(ended)) return Qnil;
  if (!turns.there) start_guard();
  SET(until, now + GUARDED);
  if (was < now) sem_post(&turns.bell); /* somebody may be waiting who has not rung */
  return Qnil;
}

/* Accelerator.given: how often a turn was given so far. */
static VALUE turns_given(VALUE self) { return UINT2NUM(GET(given)); }

/* The process ends: comes with its at_exit blocks, and waits for a millisecond at most. The guard does not need the lock for its end. */
static void end_guard(VALUE ignored) {
  SET(ended, 1);
  if (!turns.there) return;
  sem_post(&turns.bell);
  pthread_join(turns.guard, NULL);
  turns.there = 0;
}

/* In a process that was just forked, only the thread that forked is left, and that one waits for nothing. */
static void forget_turns(void) {
  turns.there = turns.wanting = 0;
  turns.until = 0;
  sem_init(&turns.bell, 0, 0);
}

/* From here on the calling thread waits for the lock, until has_lock. */
static void want_lock(void) {
  int64_t now = nanoseconds();
  if (GET(wanting) == 0) SET(since, now); /* before it counts, for the guard */
  if (__atomic_fetch_add(&turns.wanting, 1, __ATOMIC_SEQ_CST) == 0 && now < GET(until)) sem_post(&turns.bell);
}

static void has_lock(void) { __atomic_sub_fetch(&turns.wanting, 1, __ATOMIC_SEQ_CST); }

static void *step_aside(void *stepped) {
  let_go(NULL);
  want_lock();
  return stepped;
}

static __thread int64_t fresh_until; /* until when the thread has just read something */

/* Comes before Ruby's own change of threads, which also meets those that have just read something: up to 3.1 whoever had the lock faster than
 * the thread that it was let go of for. They would wait for the end of a time slice. If another thread runs meanwhile, Ruby leaves it at that. */
static void before_switch(rb_event_flag_t event, VALUE data, VALUE self, ID method, VALUE class) {
  int64_t now = nanoseconds();
  if (now > fresh_until || now > GET(until)) return;
  if (rb_thread_call_without_gvl2(step_aside, &turns, NULL, NULL)) has_lock();
}

struct reading {
  VALUE into;
  int fd, error;
  size_t most;
  ssize_t got;
};

/* Without the interpreter's lock. */
static void *read_now(void *p) {
  struct reading *reading = p;
  reading->got = read(reading->fd, RSTRING_PTR(reading->into), reading->most);
  reading->error = reading->got < 0 ? errno : 0;
  want_lock();
  return reading;
}

static VALUE read_locked(VALUE p) {
  struct reading *reading = (struct reading *)p;
  while (1) {
    rb_thread_check_ints(); /* raises what was sent to the thread, also what has waited for it to block (Thread.handle_interrupt) */
    /* Not the usual function: after a read that has found something, that one might raise as well, and the bytes be lost. */
    if (!rb_thread_call_without_gvl2(read_now, reading, RUBY_UBF_IO, NULL)) continue;
    has_lock();
    fresh_until = nanoseconds() + FRESH;
    if (reading->error == EAGAIN) rb_thread_wait_fd(reading->fd); /* the descriptor does not block */
    else if (reading->error != EINTR) return Qnil;
  }
}

static VALUE unlock(VALUE string) { return rb_str_unlocktmp(string); }

/* Accelerator.read(fd, most, into): IO#readpartial, but that its end is nil, and that the guard knows when it wants to go on. */
static VALUE turns_read(VALUE self, VALUE fd, VALUE most, VALUE into) {
  struct reading reading = { into, NUM2INT(fd), 0, NUM2SIZET(most), 0 };
  rb_str_modify(into);
  rb_str_set_len(into, 0); /* not resized: its memory stays for the next read */
  rb_str_modify_expand(into, (long)reading.most);
  rb_str_locktmp(into);
  rb_ensure(read_locked, (VALUE)&reading, unlock, into);
  if (reading.error) rb_syserr_fail(reading.error, "read");
  rb_str_set_len(into, reading.got);
  return reading.got == 0 ? Qnil : into;
}

/* Accelerator.delay(fd): seconds for which a thread has waited for a processor, the second number of its schedstat. IO#pread would let go of the lock,
 * and wait for the end of a computation to have it back. */
static VALUE turns_delay(VALUE self, VALUE fd) {
  char text[64] = "";
  unsigned long long delay = 0;
  if (pread(NUM2INT(fd), text, sizeof text - 1, 0) > 0) sscanf(text, "%*u %llu", &delay);
  return DBL2NUM(1e-9 * (double)delay);
}

static void turns_define(VALUE accelerator) {
  if (GUARDS) prepare_giving();
  sem_init(&turns.bell, 0, 0);
  pthread_atfork(NULL, NULL, forget_turns);
  rb_set_end_proc(end_guard, Qnil);
  rb_add_event_hook(before_switch, RUBY_INTERNAL_EVENT_SWITCH, Qnil);
  rb_define_singleton_method(accelerator, "read", turns_read, 3);
  rb_define_singleton_method(accelerator, "guard", turns_guard, 0);
  rb_define_singleton_method(accelerator, "delay", turns_delay, 1);
  rb_define_singleton_method(accelerator, "given", turns_given, 0);
}
