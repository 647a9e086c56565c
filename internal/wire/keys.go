package wire

import (
	"sync"
	"sync/atomic"
)

// Key is the number of an env key, or of a key with a constant value ("REQUEST_METHOD=GET"), the same for all workers
// of this process.
type Key uint16

// Names of clients' headers are numbered as they come, up to limits: a client that invents names must not fill memory.
const (
	maxKeys      = 4096
	maxSpellings = 8192
	maxShapes    = 1024 // of at most 65,535 that the wire could number
)

// Spelling is what is known of one way a client writes a header's name.
type Spelling struct {
	Key        Key
	Name       string // the env key, for example HTTP_ACCEPT
	Underscore bool   // the client wrote an underscore, which looks like a dash once it is an env key
}

// Keys numbers env keys and shapes. The zero value is not ready; see NewKeys.
// Looking up takes no lock: the maps are copied when something new is added, which soon stops happening.
type Keys struct {
	mu        sync.Mutex // guards writing
	numbers   map[string]Key
	names     []string
	spellings atomic.Pointer[map[string]*Spelling]
	shapes    atomic.Pointer[map[string]*Shape]
}

// Shape is a sequence of keys that requests had, which workers know by a number.
type Shape struct {
	Number uint16
	Define []byte // the DEFINE frame
}

// NewKeys returns an empty table.
func NewKeys() *Keys {
	k := &Keys{numbers: map[string]Key{}}
	k.spellings.Store(&map[string]*Spelling{})
	k.shapes.Store(&map[string]*Shape{})
	return k
}

// Number returns the number of an entry, "NAME" or "NAME=value", adding it when it is new.
// ok is false when the table is full.
func (k *Keys) Number(entry string) (key Key, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.number(entry)
}

func (k *Keys) number(entry string) (Key, bool) {
	if key, ok := k.numbers[entry]; ok {
		return key, true
	}
	if len(k.names) == maxKeys {
		return 0, false
	}
	key := Key(len(k.names))
	k.names = append(k.names, entry)
	k.numbers[entry] = key
	return key, true
}

// Must is Number for the entries that a program starts with.
func (k *Keys) Must(entry string) Key {
	key, ok := k.Number(entry)
	if !ok {
		panic("wire: more fixed keys than the table holds")
	}
	return key
}

// Spelling returns what is known of a header name as the client wrote it; nil when it is not known yet.
func (k *Keys) Spelling(name []byte) *Spelling {
	return (*k.spellings.Load())[string(name)]
}

// Learn adds a spelling with the env key it stands for; nil when the table is full.
func (k *Keys) Learn(name []byte, envKey string, underscore bool) *Spelling {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := *k.spellings.Load()
	if s := old[string(name)]; s != nil {
		return s
	}
	if len(old) >= maxSpellings {
		return nil
	}
	key, ok := k.number(envKey)
	if !ok {
		return nil
	}
	s := &Spelling{Key: key, Name: envKey, Underscore: underscore}
	next := make(map[string]*Spelling, len(old)+1)
	for spelled, known := range old {
		next[spelled] = known
	}
	next[string(name)] = s
	k.spellings.Store(&next)
	return s
}

// Shape returns the shape of a sequence of keys, each written as two bytes; nil when the table is full, which means
// shape 0.
func (k *Keys) Shape(sequence []byte) *Shape {
	if s := (*k.shapes.Load())[string(sequence)]; s != nil {
		return s
	}
	return k.addShape(sequence)
}

func (k *Keys) addShape(sequence []byte) *Shape {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := *k.shapes.Load()
	if s := old[string(sequence)]; s != nil || len(old) >= maxShapes {
		return s
	}
	var head []byte
	for i := 0; i+1 < len(sequence); i += 2 {
		head = append(head, k.names[keyAt(sequence, i)]...)
		head = append(head, 0)
	}
	number := uint16(len(old) + 1)
	s := &Shape{Number: number, Define: Append(nil, &Frame{Type: Define, Code: number, Head: head})}
	next := make(map[string]*Shape, len(old)+1)
	for keys, shape := range old {
		next[keys] = shape
	}
	next[string(sequence)] = s
	k.shapes.Store(&next)
	return s
}

// name returns the entry of a key.
func (k *Keys) name(key Key) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.names[key]
}

func keyAt(sequence []byte, i int) Key { return Key(sequence[i])<<8 | Key(sequence[i+1]) }
