package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What keeps a bridge from starting is said with the way out of it, and whether the
// config is wrong (1) or the machine (3).
func TestRun_SaysWhyItCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		key    string
		status int
		says   []string
	}{
		"the port is taken": {fmt.Sprintf("listen: %q", taken.Addr()), exitOutside, []string{"address already in use", "is a bridge running already?"}},
		"no certificate":    {"tls: {cert: gone.pem, key: gone.key}", exitWrong, []string{"tls.cert: open ", "gone.pem: no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "config.yaml")
			text := fmt.Sprintf(`data: %q
%s
admin: {listen: "127.0.0.1:0"}
connections:
  shop:
    jivo: {secret: 0123456789abcdef0123}
    amocrm: {account: "http://127.0.0.1:1", token: x.y.z}
`, dir, c.key)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, said bytes.Buffer
			if status := run(t.Context(), []string{"run", "-c", path}, strings.NewReader(""), &out, &said); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, want := range c.says {
				if !strings.Contains(said.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, said.String())
				}
			}
		})
	}
}
