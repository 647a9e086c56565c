/*
 * The two steps of a request that cost Ruby most, in C: the env out of a frame, and a response into one. And the wait for requests, since who
 * has one cannot say in Ruby that it wants to go on.
 *
 * Each has a twin in Ruby (runtime.rb, env.rb, responder.rb) that does the same to the byte, and that takes over wherever a request or
 * a response is not the usual kind. accelerator.rb compiles this file; accelerator_test.rb compares the twins.
 *
 * Nothing here gives up the interpreter's lock, but for the Ruby methods that it calls, and the wait; memory is the stack's or the garbage
 * collector's, so that an exception may come at any of these calls.
 */
#define _GNU_SOURCE 1 /* memfd_create */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <ruby.h>
#include "outbox.h"
#include "turns.h"

#define PREFIX 16      /* bytes before a frame's head: wire.md */
#define REQUEST 2      /* types of frames */
#define RESPONSE 10
#define BELL 20
#define BUSY 1         /* a flag of RESPONSE */
#define COPIED 16384   /* bytes of head and body that are copied, that a response is one piece (Responder::LONG) */
#define LONGEST 262144 /* bytes of a body that goes in a frame (Wire::LONGEST_IN_FRAMES) */

static ID iv_env, iv_id, iv_data, iv_at, iv_hinted, id_id, id_flags, id_flatten, id_hint, id_write, id_write_rest;

static uint32_t number_at(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static void put_number(char *p, uint32_t n) {
  p[0] = (char)(n >> 24), p[1] = (char)(n >> 16), p[2] = (char)(n >> 8), p[3] = (char)n;
}

/* --- a shape: what builds the env of requests with the same keys --- */

struct shape {
  VALUE base;      /* Hash with every key */
  VALUE constants; /* [key, copy or nil, String]…: each request gets a String of its own */
  VALUE values;    /* [key or nil, copy or nil]… in the frame's order; nil, nil: skipped; copy true: a number of milliseconds */
  VALUE own;       /* the keys of what each request gets anew: hijack, after_reply, response_finished, early_hints or nil, input */
};

static void shape_mark(void *p) {
  struct shape *shape = p;
  rb_gc_mark(shape->base), rb_gc_mark(shape->constants), rb_gc_mark(shape->values), rb_gc_mark(shape->own);
}

static const rb_data_type_t shape_type = { .wrap_struct_name = "Serval::Accelerator::Shape", .function = { .dmark = shape_mark, .dfree = RUBY_DEFAULT_FREE } };

static VALUE shape_allocate(VALUE class) {
  struct shape *shape;
  VALUE self = TypedData_Make_Struct(class, struct shape, &shape_type, shape);
  shape->base = shape->constants = shape->values = shape->own = Qnil;
  return self;
}

static VALUE shape_initialize(VALUE self, VALUE base, VALUE constants, VALUE values, VALUE own) {
  struct shape *shape = rb_check_typeddata(self, &shape_type);
  Check_Type(base, T_HASH), Check_Type(constants, T_ARRAY), Check_Type(values, T_ARRAY), Check_Type(own, T_ARRAY);
  shape->base = base, shape->constants = constants, shape->values = values, shape->own = own;
  return self;
}

static void store(VALUE env, VALUE key, VALUE copy, VALUE string) {
  if (!NIL_P(key)) rb_hash_aset(env, key, string);
  if (!NIL_P(copy)) rb_hash_aset(env, copy, string);
}

/* Gives the exchange the id and the env of the REQUEST frame that goes from +at+ to +end+ in +data+. Returns the env. */
static VALUE build(const struct shape *shape, VALUE data, long at, long end, VALUE exchange) {
  VALUE env = rb_hash_dup(shape->base);
  rb_ivar_set(exchange, iv_env, env);
  rb_ivar_set(exchange, iv_id, UINT2NUM(number_at(RSTRING_PTR(data) + at + 8)));

  for (long i = 0; i + 2 < RARRAY_LEN(shape->constants); i += 3) {
    VALUE value = rb_ary_entry(shape->constants, i + 2);
    VALUE string = rb_str_new(RSTRING_PTR(value), RSTRING_LEN(value));
    RB_GC_GUARD(value); /* stays where it is until it is copied, even if the collector compacts */
    store(env, rb_ary_entry(shape->constants, i), rb_ary_entry(shape->constants, i + 1), string);
  }

  at += PREFIX;
  for (long i = 0; i + 1 < RARRAY_LEN(shape->values); i += 2) {
    const char *start = RSTRING_PTR(data) + at; /* anew: who knows where the bytes are after an allocation */
    const char *nul = memchr(start, 0, (size_t)(end - at));
    long length = nul ? nul - start : end - at;
    at += nul ? length + 1 : length;
    VALUE key = rb_ary_entry(shape->values, i), copy = rb_ary_entry(shape->values, i + 1);
    if (NIL_P(key)) continue;
    VALUE string = rb_str_new(start, length);
    if (copy == Qtrue) rb_hash_aset(env, key, DBL2NUM(rb_str_to_dbl(string, 0)));
    else store(env, key, copy, string);
  }

  rb_hash_aset(env, rb_ary_entry(shape->own, 0), exchange);
  rb_hash_aset(env, rb_ary_entry(shape->own, 1), rb_ary_new());
  rb_hash_aset(env, rb_ary_entry(shape->own, 2), rb_ary_new());
  VALUE hints = rb_ary_entry(shape->own, 3);
  if (!NIL_P(hints)) rb_hash_aset(env, hints, rb_obj_method(exchange, ID2SYM(id_hint)));
  RB_GC_GUARD(data);
  return env;
}

/* build for a frame that is a String of its own. Returns the bytes of its head. */
static VALUE shape_call(VALUE self, VALUE frame, VALUE exchange) {
  struct shape *shape = rb_check_typeddata(self, &shape_type);
  if (NIL_P(shape->base)) rb_raise(rb_eArgError, "the shape is empty");
  Check_Type(frame, T_STRING);
  if (RSTRING_LEN(frame) < PREFIX) rb_raise(rb_eArgError, "the frame is cut");
  uint32_t size = number_at(RSTRING_PTR(frame) + 12);
  build(shape, frame, 0, RSTRING_LEN(frame), exchange);
  return UINT2NUM(size);
}

/* --- a reader: takes requests out of the buffer of Requests --- */

struct reader {
  VALUE requests; /* its @data and @at */
  VALUE shapes;   /* Hash: number => Shape, or something else that is left to Ruby */
  VALUE runtime;  /* for new exchanges */
  VALUE exchange; /* their class */
  VALUE input;    /* StringIO */
};

static void reader_mark(void *p) {
  struct reader *reader = p;
  rb_gc_mark(reader->requests), rb_gc_mark(reader->shapes), rb_gc_mark(reader->runtime);
  rb_gc_mark(reader->exchange), rb_gc_mark(reader->input);
}

static const rb_data_type_t reader_type = { .wrap_struct_name = "Serval::Accelerator::Reader", .function = { .dmark = reader_mark, .dfree = RUBY_DEFAULT_FREE } };

static VALUE reader_allocate(VALUE class) {
  struct reader *reader;
  VALUE self = TypedData_Make_Struct(class, struct reader, &reader_type, reader);
  reader->requests = reader->shapes = reader->runtime = reader->exchange = reader->input = Qnil;
  return self;
}

static VALUE reader_initialize(VALUE self, VALUE requests, VALUE shapes, VALUE runtime, VALUE exchange, VALUE input) {
  struct reader *reader = rb_check_typeddata(self, &reader_type);
  Check_Type(shapes, T_HASH), Check_Type(exchange, T_CLASS), Check_Type(input, T_CLASS);
  reader->requests = requests, reader->shapes = shapes, reader->runtime = runtime, reader->exchange = exchange, reader->input = input;
  return self;
}

/* Seconds of the monotonic clock. */
static VALUE now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return DBL2NUM((double)time.tv_sec + 1e-9 * (double)time.tv_nsec);
}

/* An exchange for the next frame if that is a request of the usual kind, nil if it is another frame, false if it is not all there. */
static VALUE reader_take(VALUE self) {
  struct reader *reader = rb_check_typeddata(self, &reader_type);
  VALUE data = rb_ivar_get(reader->requests, iv_data);
  Check_Type(data, T_STRING);
  long at = NUM2LONG(rb_ivar_get(reader->requests, iv_at)), rest = RSTRING_LEN(data) - at;
  if (rest < PREFIX) return Qfalse;
  const char *frame = RSTRING_PTR(data) + at;
  long length = 4 + (long)number_at(frame), body = length - PREFIX - (long)number_at(frame + 12);
  if (length > rest) return Qfalse;

  uint32_t what = number_at(frame + 4);
  if (what >> 16 != REQUEST << 8 || body < 0) return Qnil;
  VALUE shape = rb_hash_lookup(reader->shapes, INT2FIX(what & 0xffff));
  if (!rb_typeddata_is_kind_of(shape, &shape_type)) return Qnil;

  rb_ivar_set(reader->requests, iv_at, LONG2NUM(at + length));
  VALUE arguments[] = { reader->runtime, now() };
  VALUE exchange = rb_class_new_instance(2, arguments, reader->exchange);
  struct shape *keys = RTYPEDDATA_DATA(shape);
  VALUE env = build(keys, data, at, at + length, exchange);
  if (body > 0) {
    VALUE bytes = rb_str_new(RSTRING_PTR(data) + at + length - body, body);
    rb_hash_aset(env, rb_ary_entry(keys->own, 4), rb_class_new_instance(1, &bytes, reader->input));
  }
  RB_GC_GUARD(data);
  return exchange;
}

/* --- a sender: writes responses on one socket, or puts them into its outbox --- */

struct sender {
  VALUE requests; /* Requests, for what does not go at once */
  VALUE mutex;    /* its: held while somebody waits for the socket in the middle of a frame */
  int socket;
  struct outbox *box; /* NULL: there is none */
  unsigned int forks; /* when there was none yet */
};

static void sender_mark(void *p) {
  struct sender *sender = p;
  rb_gc_mark(sender->requests), rb_gc_mark(sender->mutex);
}

static void sender_free(void *p) {
  struct sender *sender = p;
  if (sender->box) outbox_close(sender->box);
  xfree(sender);
}

static const rb_data_type_t sender_type = { .wrap_struct_name = "Serval::Accelerator::Sender", .function = { .dmark = sender_mark, .dfree = sender_free } };

static VALUE sender_allocate(VALUE class) {
  struct sender *sender;
  VALUE self = TypedData_Make_Struct(class, struct sender, &sender_type, sender);
  sender->requests = sender->mutex = Qnil;
  sender->socket = -1;
  return self;
}

static VALUE sender_initialize(VALUE self, VALUE requests, VALUE mutex, VALUE socket) {
  struct sender *sender = rb_check_typeddata(self, &sender_type);
  sender->socket = NUM2INT(socket);
  sender->requests = requests, sender->mutex = mutex;
  return self;
}

/* Sender#outbox: makes one and returns the descriptor that the front has to get, or nil. */
static VALUE sender_outbox(VALUE self) {
  struct sender *sender = rb_check_typeddata(self, &sender_type);
  int fd;
  if (sender->box || !(sender->box = outbox_open(&fd))) return Qnil;
  sender->forks = forks;
  return INT2NUM(fd);
}

struct block {
  char *at, *end;
  int whole;
};

static int append(struct block *block, VALUE string) {
  if (!RB_TYPE_P(string, T_STRING)) return 0;
  long length = RSTRING_LEN(string);
  if (length > block->end - block->at) return 0;
  memcpy(block->at, RSTRING_PTR(string), (size_t)length);
  block->at += length;
  return 1;
}

/* A name or a value, with NUL behind it and none in it. */
static int append_word(struct block *block, VALUE string) {
  char *start = block->at;
  if (!append(block, string) || block->at == block->end || memchr(start, 0, (size_t)(block->at - start))) return 0;
  *block->at++ = 0;
  return 1;
}

static int append_header(VALUE name, VALUE value, VALUE argument) {
  struct block *block = (struct block *)argument;
  block->whole = append_word(block, name) && append_word(block, value);
  return block->whole ? ST_CONTINUE : ST_STOP;
}

/* Whether the twin, which calls flatten, would see what rb_hash_foreach sees. */
static int plain_hash(VALUE headers) {
  return RB_TYPE_P(headers, T_HASH) && (RBASIC_CLASS(headers) == rb_cHash || rb_method_basic_definition_p(CLASS_OF(headers), id_flatten));
}

/* The bytes of two pieces that are left when the socket has taken some of them. */
static VALUE rest_of(const char *bytes, size_t length, VALUE tail, size_t sent) {
  VALUE rest = sent < length ? rb_str_new(bytes + sent, (long)(length - sent)) : rb_str_new(NULL, 0);
  size_t of_tail = sent < length ? 0 : sent - length;
  if (!NIL_P(tail)) rb_str_cat(rest, RSTRING_PTR(tail) + of_tail, RSTRING_LEN(tail) - (long)of_tail);
  return rest;
}

/* Writes what the socket takes at once of a frame, whose end is in tail unless that is nil, and leaves the rest to Requests. */
static void send_frame(struct sender *sender, const char *bytes, size_t length, VALUE tail) {
  ssize_t sent = 0;
  if (!RTEST(rb_mutex_locked_p(sender->mutex))) {
    struct iovec pieces[2] = { { (void *)bytes, length } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 1 };
    size_t whole = length;
    if (!NIL_P(tail)) {
      pieces[1].iov_base = RSTRING_PTR(tail), pieces[1].iov_len = (size_t)RSTRING_LEN(tail);
      message.msg_iovlen = 2;
      whole += pieces[1].iov_len;
    }
    sent = sendmsg(sender->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == (ssize_t)whole) return;
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return; /* the front is gone */
    if (sent < 0) sent = 0;
  }
  if (sent == 0) {
    rb_funcall(sender->requests, id_write, 1, rest_of(bytes, length, tail, 0));
    return;
  }
  /* No other thread has run since the send: the mutex is still free. */
  rb_mutex_trylock(sender->mutex);
  rb_funcall(sender->requests, id_write_rest, 1, rest_of(bytes, length, tail, (size_t)sent));
}

/* Puts a frame, whose end is in tail unless that is nil, into the outbox, if that can be, and says whether it did. */
static int post(struct sender *sender, const char *frame, size_t length, VALUE tail) {
  struct outbox *box = sender->box;
  int ring;
  if (!box || sender->forks != forks || !outbox_open_for_frames(box)) return 0;
  if (!outbox_put(box, frame, length, NIL_P(tail) ? "" : RSTRING_PTR(tail), NIL_P(tail) ? 0 : (size_t)RSTRING_LEN(tail), &ring)) return 0;
  if (ring) {
    char bell[PREFIX] = { 0, 0, 0, PREFIX - 4, BELL };
    send_frame(sender, bell, PREFIX, Qnil);
  }
  return 1;
}

/* The only part of a body, if that is a String to be sent from where it is; else nil. */
static VALUE long_part(VALUE body) {
  VALUE part = RARRAY_LEN(body) == 1 ? rb_ary_entry(body, 0) : Qnil;
  return RB_TYPE_P(part, T_STRING) && RSTRING_LEN(part) > COPIED && RSTRING_LEN(part) <= LONGEST ? part : Qnil;
}

/* Sends a response whose headers are a Hash of Strings, COPIED bytes at most, and whose body an Array of Strings. Either these
 * are in the COPIED bytes as well, or there is one of LONGEST at most. Returns false, having done nothing, for all others. */
static VALUE sender_respond(VALUE self, VALUE exchange, VALUE status, VALUE headers, VALUE body) {
  struct sender *sender = rb_check_typeddata(self, &sender_type);
  if (!FIXNUM_P(status) || FIX2LONG(status) < 100 || FIX2LONG(status) > 999) return Qfalse;
  if (!RB_TYPE_P(body, T_ARRAY) || rb_obj_class(body) != rb_cArray || !plain_hash(headers)) return Qfalse;

  char frame[PREFIX + COPIED];
  struct block block = { frame + PREFIX, frame + sizeof frame, 1 };
  rb_hash_foreach(headers, append_header, (VALUE)&block);
  if (!block.whole) return Qfalse;
  size_t size = (size_t)(block.at - frame) - PREFIX;
  VALUE tail = long_part(body);
  for (long i = 0; NIL_P(tail) && i < RARRAY_LEN(body); i++) {
    if (!append(&block, rb_ary_entry(body, i))) return Qfalse;
  }

  size_t length = (size_t)(block.at - frame);
  unsigned int flags = NUM2UINT(rb_funcall(exchange, id_flags, 0)); /* from here on the response counts as sent */
  put_number(frame + 4, (uint32_t)RESPONSE << 24 | flags << 16 | (uint32_t)FIX2LONG(status));
  put_number(frame + 8, NUM2UINT(rb_funcall(exchange, id_id, 0)));
  put_number(frame + 12, (uint32_t)size);
  size_t of_tail = NIL_P(tail) ? 0 : (size_t)RSTRING_LEN(tail); /* last: other threads may have run in these calls */
  put_number(frame, (uint32_t)(length + of_tail) - 4);
  /* What the front must not read before a frame that comes by the socket, goes there as well: FREE follows, or hints came before. */
  int alone = !(flags & BUSY) && !RTEST(rb_attr_get(exchange, iv_hinted));
  if (!alone || !post(sender, frame, length, tail)) send_frame(sender, frame, length, tail);
  RB_GC_GUARD(tail);
  return Qtrue;
}

void Init_accelerator(void) {
  VALUE accelerator = rb_path2class("Serval::Accelerator");
  VALUE shape = rb_define_class_under(accelerator, "Shape", rb_cObject);
  rb_define_alloc_func(shape, shape_allocate);
  rb_define_method(shape, "initialize", shape_initialize, 4);
  rb_define_method(shape, "call", shape_call, 2);
  VALUE reader = rb_define_class_under(accelerator, "Reader", rb_cObject);
  rb_define_alloc_func(reader, reader_allocate);
  rb_define_method(reader, "initialize", reader_initialize, 5);
  rb_define_method(reader, "take", reader_take, 0);
  VALUE sender = rb_define_class_under(accelerator, "Sender", rb_cObject);
  rb_define_alloc_func(sender, sender_allocate);
  rb_define_method(sender, "initialize", sender_initialize, 3);
  rb_define_method(sender, "outbox", sender_outbox, 0);
  rb_define_method(sender, "respond", sender_respond, 4);
  pthread_atfork(NULL, NULL, forked);
  turns_define(accelerator);
  iv_env = rb_intern("@env"), iv_id = rb_intern("@id"), iv_data = rb_intern("@data"), iv_at = rb_intern("@at"), iv_hinted = rb_intern("@hinted"), id_id = rb_intern("id"), id_flags = rb_intern("last_flags");
  id_flatten = rb_intern("flatten"), id_hint = rb_intern("hint");
  id_write = rb_intern("write"), id_write_rest = rb_intern("write_rest");
}
