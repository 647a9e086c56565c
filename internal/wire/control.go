package wire

import (
	"encoding/binary"
	"errors"
)

// Message is one packet on the control socket.
type Message struct {
	Kind byte
	ID   uint32
	Text []byte
}

// What the worker says (upper case) and what the front says (lower case).
const (
	Ready     = 'R' // the app is loaded and requests are read; Text: facts, key=value, NUL between them
	BootError = 'E' // the app did not load; Text: why
	Retire    = 'T' // the worker asks to be replaced
	Backtrace = 'B' // the answer to AskBacktrace
	Answer    = 'A' // the answer to question ID
	Failed    = 'X' // question ID could not be answered; Text: why
	CheckIn   = 'P' // the answer to Ping
	Command   = 'D' // the mold asks for a restart or the like; Text: which
	WantStats = 'S' // the mold asks for the statistics; ID: its number

	BodyFd       = 'f' // the body file of the next REQUEST with this ID
	SocketFd     = 'h' // the client's socket; Text: what was already read from it
	AskBacktrace = 'b' // send backtraces of the thread that runs ID, of all for 0
	Ask          = 'a' // question: Text says what for
	Hook         = 'k' // question: run hooks; Text: name and arguments, NUL between them
	Fork         = 'w' // question to a mold: fork a worker; Text: its settings; with its descriptors 3 to 6
	Promote      = 'm' // question to a worker: fork a mold; Text: its settings; with its descriptor 4
	LogLine      = 'l' // a line of the log for the app's logger
	Ping         = 'p' // say that you are alive
	Stats        = 's' // the answer to WantStats
	Quit         = 'q' // to a mold: leave, exit handlers included
)

// MaxMessage is the longest packet on the control socket, MaxText the longest text in one, in bytes.
const (
	MaxMessage = 64 << 10
	MaxText    = MaxMessage - 5
)

// AppendMessage appends m in its encoded form; text that would not fit is cut.
func AppendMessage(dst []byte, m Message) []byte {
	if len(m.Text) > MaxText {
		m.Text = m.Text[:MaxText]
	}
	dst = append(dst, m.Kind)
	dst = binary.BigEndian.AppendUint32(dst, m.ID)
	return append(dst, m.Text...)
}

// DecodeMessage reads a whole packet.
func DecodeMessage(packet []byte) (Message, error) {
	if len(packet) < 5 {
		return Message{}, errors.New("a control message is shorter than 5 bytes")
	}
	return Message{Kind: packet[0], ID: binary.BigEndian.Uint32(packet[1:]), Text: packet[5:]}, nil
}
