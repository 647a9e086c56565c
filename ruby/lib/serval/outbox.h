/*
 * An outbox: memory that a worker shares with the front, for whole responses. While the front is awake it looks there by itself, so that
 * neither side needs a system call for them. docs/reference/outbox.md describes the memory; internal/worker/outbox.go is the other side.
 *
 * Only who holds the interpreter's lock writes here, and never gives it up in between.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define OUTBOX_SIZE 1048576 /* bytes of frames */
#define OUTBOX_AT 4096      /* where they begin */
#define OUTBOX_STEP 16      /* each frame begins at a multiple of this */
#define OUTBOX_NEAR 65536   /* as far as it is used if the front keeps up: the rest takes no memory until it is needed, and this stays in the caches */

/* What the front does. It says so, but for one thing: who rings for it while it is asleep knows that it will look. */
enum { UNAWARE, AWAKE, ASLEEP };

struct outbox {
  uint32_t put __attribute__((aligned(64)));   /* bytes that were ever put in */
  uint32_t taken __attribute__((aligned(64))); /* bytes that the front has taken out */
  uint32_t front __attribute__((aligned(64)));
};

static unsigned int forks; /* of this process and its ancestors: who was forked must not write to what its parent shares with the front */
static void forked(void) { forks++; }

/* Makes the memory, and a descriptor for the front. NULL, if the system has none to give. A limit of file sizes counts for it as well, and
 * who goes beyond is killed. */
static struct outbox *outbox_open(int *fd) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < OUTBOX_AT + OUTBOX_SIZE) return NULL;
  *fd = memfd_create("serval outbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0) return NULL;
  void *memory = MAP_FAILED;
  /* Sealed, so that the front can rely on its size. */
  if (ftruncate(*fd, OUTBOX_AT + OUTBOX_SIZE) == 0 && fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    memory = mmap(NULL, OUTBOX_AT + OUTBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  }
  if (memory != MAP_FAILED) return memory;
  close(*fd);
  return NULL;
}

static void outbox_close(struct outbox *box) { munmap(box, OUTBOX_AT + OUTBOX_SIZE); }

/* Whether a frame may be put in. If the front sleeps it has to be woken, and the frame itself had better go by the socket and do that. */
static int outbox_open_for_frames(struct outbox *box) {
  uint32_t asleep = ASLEEP;
  if (__atomic_load_n(&box->front, __ATOMIC_SEQ_CST) == AWAKE) return 1;
  __atomic_compare_exchange_n(&box->front, &asleep, AWAKE, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return 0;
}

/* Puts a frame in, whose end is in tail, if there is room, and says whether it did. *ring: the front has fallen asleep meanwhile and has to be woken. */
static int outbox_put(struct outbox *box, const char *frame, size_t length, const char *tail, size_t of_tail, int *ring) {
  char *data = (char *)box + OUTBOX_AT;
  size_t whole = (length + of_tail + OUTBOX_STEP - 1) & ~(size_t)(OUTBOX_STEP - 1);
  uint32_t put = box->put, used = put - __atomic_load_n(&box->taken, __ATOMIC_SEQ_CST), at = put % OUTBOX_SIZE;
  int anew = used == 0 && at > OUTBOX_NEAR && whole <= OUTBOX_NEAR / 4; /* what is passed over counts as used until the front has seen it */
  uint32_t skipped = anew || at + whole > OUTBOX_SIZE ? OUTBOX_SIZE - at : 0;
  if (skipped + whole > OUTBOX_SIZE - used) return 0;
  if (skipped) {
    memset(data + at, 0, 4); /* a frame of no bytes: the next one is at the start */
    at = 0;
  }
  memcpy(data + at, frame, length);
  memcpy(data + at + length, tail, of_tail);
  __atomic_store_n(&box->put, put + skipped + (uint32_t)whole, __ATOMIC_SEQ_CST);
  /* Either this sees that the front sleeps, or the front, which says so before it looks for the last time, sees the frame. */
  *ring = !outbox_open_for_frames(box);
  return 1;
}
