package tlsconfig

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // keys that were encrypted by it have to be opened
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// What OpenSSL writes as "ENCRYPTED PRIVATE KEY": PKCS #8 (RFC 5958 §3) with PBES2 and PBKDF2 (RFC 8018).
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2 struct {
		Derivation pkix.AlgorithmIdentifier
		Scheme     pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}

	prfs = map[string]func() hash.Hash{
		"":                    sha1.New, // RFC 8018 A.2: the default
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.8":  sha256.New224,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
		"1.2.840.113549.2.12": sha512.New512_224,
		"1.2.840.113549.2.13": sha512.New512_256,
	}
	schemes = map[string]struct {
		size int
		new  func([]byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)

// maxIterations bounds what a file can make this process compute; OpenSSL's default is 2048.
const maxIterations = 10_000_000

// decryptPKCS8 returns the key as PKCS #8 without encryption.
func decryptPKCS8(der, password []byte) ([]byte, error) {
	var key encryptedKey
	var how pbes2
	var derive pbkdf2Params
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return nil, fmt.Errorf("it is no PKCS #8: %w", err)
	}
	unknown := errors.New("it is encrypted in a way that is not known here; write it anew by openssl pkcs8 -topk8 -v2 aes-256-cbc")
	if !key.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, unknown
	}
	if _, err := asn1.Unmarshal(key.Algorithm.Parameters.FullBytes, &how); err != nil || !how.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, unknown
	}
	if _, err := asn1.Unmarshal(how.Derivation.Parameters.FullBytes, &derive); err != nil {
		return nil, unknown
	}
	prf := prfs[derive.PRF.Algorithm.String()]
	scheme, known := schemes[how.Scheme.Algorithm.String()]
	var iv []byte
	if _, err := asn1.Unmarshal(how.Scheme.Parameters.FullBytes, &iv); err != nil || prf == nil || !known || derive.Iterations < 1 || derive.Iterations > maxIterations {
		return nil, unknown
	}
	secret, err := pbkdf2.Key(prf, string(password), derive.Salt, derive.Iterations, scheme.size)
	if err != nil {
		return nil, err
	}
	block, err := scheme.new(secret)
	if err != nil {
		return nil, err
	}
	if len(iv) != block.BlockSize() || len(key.Data) == 0 || len(key.Data)%block.BlockSize() != 0 {
		return nil, unknown
	}
	plain := make([]byte, len(key.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, key.Data)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > block.BlockSize() {
		return nil, x509.IncorrectPasswordError
	}
	plain = plain[:len(plain)-padding]
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		return nil, x509.IncorrectPasswordError
	}
	return plain, nil
}
