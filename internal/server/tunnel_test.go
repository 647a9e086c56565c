package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// inTunnel has the tests of this package speak TLS.
var inTunnel = os.Getenv("SERVAL_TEST_TLS") != ""

// secureListener is a listener whose clients speak TLS.
type secureListener struct {
	*net.TCPListener
	cfg *tls.Config
}

func (l secureListener) TLS() *tls.Config { return l.cfg }

var testTLS = sync.OnceValue(func() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{selfSigned("localhost")}, NextProtos: []string{"http/1.1"}}
})

// tunneled is a client's connection that speaks TLS, if that is what is tested.
func tunneled(t testing.TB, conn net.Conn) net.Conn {
	if !inTunnel {
		return conn
	}
	secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whose server it is is known
	if err := secured.Handshake(); err != nil {
		t.Log(err) // the test will tell
	}
	return secured
}

// tcp is the socket beneath a client's connection.
func tcp(conn net.Conn) *net.TCPConn {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	return conn.(*net.TCPConn)
}

// selfSigned makes a certificate.
func selfSigned(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	like := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, like, like, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// notInTunnel are tests of what is only so without TLS: that nothing is allocated, that connections move between servers; and some
// whose listeners or clients do not speak it.
const notInTunnel = "Allocates|Tunnel|Relay|CanGoAlong|GoToTheSuccessor|AreCountedOn|TravelsAlong|GoAfterTheirResponse|" +
	"PipelinedRequestsGoAlong|EndWhereTheyBegan|AReleaseThat|NoticeThatTheyMove|WaitsToBeAccepted|ClientsAreRefused|" +
	"SteadyReader|CameBeforeTheTimeout"

// Whatever holds for connections holds for those that speak TLS: the same tests once more, by this very binary.
func TestTheTestsOfThisPackageHoldInTunnels(t *testing.T) {
	if inTunnel {
		t.Skip("this is that")
	}
	args := []string{"-test.run=.", "-test.skip=" + notInTunnel, "-test.count=1"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SERVAL_TEST_TLS=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
