// Command bridge carries Jivo's chats, calls, clients, deals and tasks into
// amoCRM, and shows Jivo's operators the deal as it stands there.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// version is set when a release is built (-ldflags "-X main.version=…").
var version string

// Exit statuses (product.md §1).
const (
	exitDone    = 0
	exitWrong   = 1 // the config or the request was wrong
	exitUsage   = 2
	exitOutside = 3 // the outside world failed
)

// outside marks an error as the outside world's: a listener, a disk, amoCRM.
type outside struct{ error }

func (o outside) Unwrap() error { return o.error }

// hinted is an error with a way out.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// Hint tells the way out.
func (h hinted) Hint() string { return h.hint }

// usage marks an error of how a command was called.
type usage struct{ error }

// ended ends a command that has said everything with an exit status.
type ended struct{ status int }

func (e ended) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// env is what commands see of the world.
type env struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

type commands struct {
	Demo     demoCmd     `cmd:"" help:"Play the whole job on this machine: an emulated amoCRM, the bridge, visitors and a manager. No account needed."`
	Init     initCmd     `cmd:"" help:"Ask for account and token, read its names and write a commented config."`
	Check    checkCmd    `cmd:"" help:"Read the config strictly and look at the accounts it names."`
	Plan     planCmd     `cmd:"" help:"Say what an event would do: which rules match, why, and every request that would be sent. Sends no write, stores nothing."`
	Test     testCmd     `cmd:"" help:"Run the config's own tests (*.test.yaml)."`
	Run      runCmd      `cmd:"" help:"Serve until SIGTERM."`
	Auth     authCmd     `cmd:"" help:"Get consent for an OAuth connection."`
	Import   importCmd   `cmd:"" help:"Feed saved webhooks, without doubling what arrived before."`
	Contacts contactsCmd `cmd:"" help:"The contact directory."`
	Events   eventsCmd   `cmd:"" help:"What came and what became of it."`
	Backup   backupCmd   `cmd:"" help:"Copy the store, whether the bridge runs or not."`
	Compact  compactCmd  `cmd:"" help:"Make the store of a stopped bridge smaller."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON Schema of the config."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

func main() {
	app.Tune()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run parses the arguments, carries the command out and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cmds commands
	exited := -1
	parser, err := kong.New(&cmds,
		kong.Name("bridge"),
		kong.Description("Jivo → amoCRM: no chat is lost or doubled on its way, and the operator always sees the deal as it stands."),
		kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return report(stderr, err)
	}
	if len(args) > 0 && args[0] == "help" { // as people type it
		args = append(slices.Clone(args[1:]), "--help")
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was answered
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "bridge: error: %v\nbridge: hint: see `bridge --help`\n", err)
		return exitUsage
	}
	err = parsed.Run(&env{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr})
	return report(stderr, err)
}

// report prints an error with its hint, and says what the exit status is.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	var done ended
	if errors.As(err, &done) {
		return done.status
	}
	var problems *config.Problems
	if errors.As(err, &problems) {
		for line := range strings.SplitSeq(strings.TrimSpace(problems.Error()), "\n") {
			fmt.Fprintf(w, "bridge: error: %s\n", line)
		}
	} else {
		fmt.Fprintf(w, "bridge: error: %v\n", err)
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintf(w, "bridge: hint: %s\n", h.Hint())
	}
	var o outside
	var u usage
	switch {
	case errors.As(err, &u):
		return exitUsage
	case errors.As(err, &o):
		return exitOutside
	}
	return exitWrong
}

// loadConfig reads a config against Jivo's vocabulary.
func loadConfig(path string) (*config.Config, error) {
	return config.Load(path, vocabulary())
}

func vocabulary() config.Vocabulary {
	return config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema}
}

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	fmt.Fprintln(e.stdout, "bridge", versionText())
	return nil
}

// versionText is the release's version, else what the build recorded.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
