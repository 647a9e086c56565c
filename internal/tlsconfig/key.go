package tlsconfig

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// passwordPatience is how long the command for a key's password may take.
const passwordPatience = 60 * time.Second

// openKey takes the encryption off a key, if it has one.
func openKey(name string, text []byte, command string) ([]byte, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%s holds no private key: it has to have a PEM block that begins with -----BEGIN PRIVATE KEY-----", name)
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		legacy := x509.IsEncryptedPEMBlock(block) //nolint:staticcheck // insecure by design, but keys of that kind are in use
		if !legacy && block.Type != "ENCRYPTED PRIVATE KEY" {
			return text, nil
		}
		if command == "" {
			return nil, fmt.Errorf("the key %s is encrypted: say with key_password_command=COMMAND how to get its password", name)
		}
		password, err := askPassword(command)
		if err != nil {
			return nil, fmt.Errorf("the password of the key %s is not known: %w", name, err)
		}
		var der []byte
		kind := block.Type
		if legacy {
			der, err = x509.DecryptPEMBlock(block, password) //nolint:staticcheck // as above
		} else {
			kind = "PRIVATE KEY"
			der, err = decryptPKCS8(block.Bytes, password)
		}
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("the key %s cannot be opened with the password that key_password_command prints: correct one of them", name)
		}
		if err != nil {
			return nil, fmt.Errorf("the key %s cannot be opened: %w", name, err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), nil
	}
}

// askPassword runs a command as Ruby would, by a shell, and returns what it prints, less the end of the line.
func askPassword(command string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), passwordPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.WaitDelay = time.Second
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("key_password_command is not done after %s", passwordPatience)
	case err != nil:
		said := strings.TrimSpace(errs.String())
		if said != "" {
			said = ": " + said
		}
		return nil, fmt.Errorf("key_password_command failed (%w)%s", err, said)
	}
	return []byte(strings.TrimRight(string(out), "\r\n")), nil
}
