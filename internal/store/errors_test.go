package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOpenError_HintFitsWhatIsWrongWithTheFolder: nobody is sent to start what
// has just failed to start.
func TestOpenError_HintFitsWhatIsWrongWithTheFolder(t *testing.T) {
	t.Parallel()
	refused := func(err error) *OpenError {
		return &OpenError{Path: "data/bridge.db", Kind: ErrFolder, Err: &fs.PathError{Op: "mkdir", Path: "data", Err: err}}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		err  *OpenError
		want string
	}{
		{"forbidden", refused(syscall.EACCES), "belongs to the user the bridge runs as"},
		{"forbidden to its owner", refused(syscall.EPERM), "belongs to the user the bridge runs as"},
		{"on the way there stands a file", &OpenError{Path: "x", Kind: ErrFolder, Err: os.MkdirAll(filepath.Join(file, "data"), 0o700)}, "no folder"},
		{"in its place stands a file", &OpenError{Path: "x", Kind: ErrFolder, Err: os.MkdirAll(file, 0o700)}, "no folder"},
		{"in its place stands a link to nowhere", refused(syscall.EEXIST), "no folder"},
		{"read-only", refused(syscall.EROFS), "StateDirectory"},
		{"nothing can be made there", refused(syscall.ENOENT), "`data`"},
		{"the file, on a read-only disk", &OpenError{Path: "data/bridge.db", Err: &fs.PathError{Op: "open", Err: syscall.EROFS}}, "StateDirectory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hint := c.err.Hint()
			if !strings.Contains(hint, c.want) {
				t.Errorf("hint of %q: %q, want one with %q", c.err, hint, c.want)
			}
			if strings.Contains(hint, "`bridge run`") {
				t.Errorf("hint of %q sends in circles: %q", c.err, hint)
			}
		})
	}
}
