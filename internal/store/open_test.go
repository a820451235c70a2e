package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// stored gives the path of a closed store with a few hundred events.
func stored(t *testing.T) string {
	t.Helper()
	s := open(t, Options{})
	fill(t, s, 400, func(int, *event.Incoming) {})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.opt.Path
}

// crashed is stored without the list of free pages a clean Close leaves.
func crashed(t *testing.T) string {
	t.Helper()
	s := open(t, Options{Path: stored(t)})
	mustAppend(t, s, incoming("7"))
	s.broken.Store(&ErrBroken)
	_ = s.Close()
	return s.opt.Path
}

func edit(t *testing.T, path string, fn func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func setMeta(t *testing.T, path, key, value string) {
	edit(t, path, func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(key), []byte(value)) })
}

// A file the bridge cannot use is refused with a way out and left as it is.
func TestOpen_RefusesWithAWayOut(t *testing.T) {
	write := func(t *testing.T, path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(n int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Truncate(path, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	damagePage := func(from, to int, fn func([]byte)) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			fn(b[from*4096 : to*4096])
			write(t, path, b)
		}
	}
	zero := func(b []byte) { clear(b) }
	cases := []struct {
		name string
		do   func(t *testing.T, path string)
		want error
		hint string
	}{
		{"empty", cut(0), ErrCorrupt, "backup"},
		{"cut in the first page", cut(1000), ErrCorrupt, "backup"},
		{"cut after the first page", cut(4096), ErrCorrupt, "backup"},
		{"cut after both meta pages", cut(8192), ErrCorrupt, "backup"},
		{"cut in the middle", cut(20 * 4096), ErrCorrupt, "backup"},
		{"both meta pages zeroed", damagePage(0, 2, zero), ErrForeign, "move this file away"},
		{"both meta checksums wrong", damagePage(0, 2, func(b []byte) { b[40]++; b[4096+40]++ }), ErrCorrupt, "backup"},
		{"every page but the meta zeroed", damagePage(2, 40, zero), ErrCorrupt, "backup"},
		{"every page but the meta 0xff", damagePage(2, 40, func(b []byte) { copy(b, bytes.Repeat([]byte{0xff}, len(b))) }), ErrCorrupt, "backup"},
		{"text", func(t *testing.T, p string) { write(t, p, []byte("listen: \":8080\"\n")) }, ErrForeign, "move this file away"},
		{"long text", func(t *testing.T, p string) { write(t, p, bytes.Repeat([]byte("no store "), 5000)) }, ErrForeign, "move this file away"},
		{"another program's bbolt file", func(t *testing.T, p string) {
			edit(t, p, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bucketMeta)) })
		}, ErrForeign, "move this file away"},
		{"another format", func(t *testing.T, p string) { setMeta(t, p, metaFormat, "diary") }, ErrForeign, "move this file away"},
		{"newer version", func(t *testing.T, p string) { setMeta(t, p, metaVersion, strconv.Itoa(fileVersion+1)) }, ErrNewer, "before the upgrade"},
		{"no version", func(t *testing.T, p string) { setMeta(t, p, metaVersion, "") }, ErrCorrupt, "backup"},
		{"a bucket missing", func(t *testing.T, p string) {
			edit(t, p, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bucketLines)) })
		}, ErrCorrupt, "backup"},
		{"in use", func(t *testing.T, p string) {
			db, err := bolt.Open(p, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
		}, ErrLocked, "admin listener"},
		{"a directory", func(t *testing.T, p string) {
			if err := errors.Join(os.Remove(p), os.Mkdir(p, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // the locked ones wait
			for _, path := range []string{stored(t), crashed(t)} {
				c.do(t, path)
				before, _ := os.ReadFile(path)
				for _, readOnly := range []bool{false, true} {
					s, err := Open(Options{Path: path, ReadOnly: readOnly})
					if err == nil {
						_ = s.Close()
						t.Fatalf("opened (read only: %v)", readOnly)
					}
					var refused *OpenError
					if !errors.As(err, &refused) || (c.want != nil && !errors.Is(err, c.want)) {
						t.Fatalf("got %v, want %v", err, c.want)
					}
					if !strings.Contains(refused.Hint(), c.hint) || (c.want != nil && refused.Hint() == "") {
						t.Errorf("hint of %q: %q", err, refused.Hint())
					}
					if !strings.Contains(err.Error(), path) {
						t.Errorf("the file is not named: %v", err)
					}
				}
				if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
					t.Error("the file was changed")
				}
			}
		})
	}
}

// A page in use that is listed as free would be written over one day.
func TestOpen_PageInUseListedAsFreeIsRefused(t *testing.T) {
	path := stored(t) // closed in good order: with its list of free pages
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readMeta(bytes.NewReader(b))
	if err != nil || p.freelist == noFreelist {
		t.Fatalf("no list of free pages: %v", err)
	}
	list := b[int(p.freelist)*p.pageSize:]
	order.PutUint64(list[pageHeader:], p.root)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: path}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// damages is how many damaged files are tried: BRIDGE_DAMAGES, or a few.
func damages() int {
	if n, err := strconv.Atoi(os.Getenv("BRIDGE_DAMAGES")); err == nil {
		return n
	}
	return 100
}

// Bytes overwritten anywhere either do no harm or are refused; nothing crashes.
func TestOpen_SurvivesAnyDamage(t *testing.T) {
	path := crashed(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bolt.Tx) error { whole = whole[:tx.Size()]; return nil })
	used := len(whole)
	r := rand.New(rand.NewPCG(1, uint64(damages())))
	refused := 0
	for i := range damages() {
		b := bytes.Clone(whole)
		for range 1 + i%20 {
			at := 2*4096 + r.IntN(used-2*4096-8)
			if i%2 == 0 {
				at = at / 4096 * 4096 // a page's header
			}
			for j := range 1 + r.IntN(8) {
				b[at+j] = byte(r.Uint32())
			}
		}
		damaged := filepath.Join(t.TempDir(), "bridge.db")
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Path: damaged})
		if err != nil {
			refused++
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
				t.Errorf("refused as %v", err)
			}
			continue
		}
		_ = s.View(func(tx *Tx) error {
			for seq := range uint64(401) {
				_, _ = tx.Event(seq)
				_ = tx.Body(seq)
			}
			return nil
		})
		_ = s.Close()
	}
	if refused == 0 {
		t.Error("no damage was noticed: the test proves nothing")
	}
}

// Damage that shows only later is an error of the reader, and the end of writing.
func TestOpen_DamageFoundLaterIsNoCrash(t *testing.T) {
	s := open(t, Options{})
	bad := func(*Tx) error { panic("assertion failed: Page expected to be: 7") }
	if err := s.View(bad); !errors.Is(err, errPanic) || errors.Is(err, ErrCorrupt) {
		t.Errorf("a panic of our own: %v", err)
	}
	fromBolt := func(tx *Tx) error { return (*bolt.Cursor)(nil).Delete() } // panics inside bbolt
	if err := s.View(fromBolt); !errors.Is(err, ErrCorrupt) {
		t.Errorf("in a View: %v", err)
	}
	if err := s.Update(t.Context(), fromBolt); !errors.Is(err, ErrCorrupt) {
		t.Errorf("in an Update: %v", err)
	}
	if _, err := s.Append(t.Context(), incoming("7")); !errors.Is(err, ErrBroken) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestOpen_LostFirstMetaPageIsMadeUpFor(t *testing.T) {
	path := stored(t)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 512), 0); err != nil { // a torn write of one
		t.Fatal(err)
	}
	_ = f.Close()
	s := open(t, Options{Path: path})
	read(t, s, 1)
}

func TestOpen_MakesItPrivateAndWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	s := open(t, Options{Path: filepath.Join(dir, "bridge.db")})
	for path, want := range map[string]fs.FileMode{dir: 0o700, s.opt.Path: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 {
		t.Errorf("left in the directory: %v", names)
	}
	if s.Size() == 0 {
		t.Error("no size")
	}
}

func TestOpen_ReadOnlyMakesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridge.db")
	_, err := Open(Options{Path: path, ReadOnly: true})
	var refused *OpenError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &refused) || refused.Hint() == "" {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was made")
	}
}

func TestOpen_NeverReplacesAFileThatAppears(t *testing.T) {
	path := stored(t)
	temp := filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(temp, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := publish(temp, path); err != nil { // another process was first: use its file
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("replaced")
	}
}

func TestMigrate_StepByStepWholeOrNotAtAll(t *testing.T) {
	path := stored(t)
	openBare := func() *bolt.DB {
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	version := func(db *bolt.DB) (v string) {
		_ = db.View(func(tx *bolt.Tx) error {
			v = string(tx.Bucket([]byte(bucketMeta)).Get([]byte(metaVersion)))
			return nil
		})
		return v
	}
	db := openBare()
	var ran []int
	step := func(n int, err error) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			ran = append(ran, n)
			_, e := tx.CreateBucket([]byte(fmt.Sprint("new", n)))
			return errors.Join(e, err)
		}
	}
	boom := errors.New("boom")
	const at = fileVersion
	if err := migrate(db, at, map[int]func(*bolt.Tx) error{at: step(1, nil), at + 1: step(2, boom)}); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if v := version(db); v != fmt.Sprint(at) {
		t.Errorf("version %s after a failure", v)
	}
	ran = nil
	if err := migrate(db, at, map[int]func(*bolt.Tx) error{at: step(1, nil), at + 1: step(2, nil)}); err != nil {
		t.Fatal(err)
	}
	if v := version(db); v != fmt.Sprint(at+2) || fmt.Sprint(ran) != "[1 2]" {
		t.Errorf("version %s, ran %v", v, ran)
	}
	if err := migrate(db, at+2, map[int]func(*bolt.Tx) error{at: step(1, nil)}); err != nil || len(ran) != 2 {
		t.Errorf("ran again: %v %v", ran, err)
	}
}

// Every version below this one must have its migration.
func TestMigrate_NoGap(t *testing.T) {
	for v := 1; v < fileVersion; v++ {
		if migrations[v] == nil {
			t.Errorf("nothing leads on from version %d", v)
		}
	}
	if len(migrations) != fileVersion-1 {
		t.Errorf("%d migrations for version %d", len(migrations), fileVersion)
	}
}
