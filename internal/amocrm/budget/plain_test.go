package budget

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
)

// An error tells where it went wrong, never the query nor what came instead of
// an answer; its cause is still there to branch on.
func TestPlain_QuotesNeitherURLNorFarEnd(t *testing.T) {
	const secret = "79160000001"
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, Err: errors.New("connection refused")}
	for _, c := range []struct {
		name  string
		err   error
		keeps string
	}{
		{"URL", &url.Error{Op: "Get", URL: "https://a/?query=" + secret, Err: io.ErrUnexpectedEOF}, "unexpected EOF"},
		{"header", &Unread{Status: 200, Err: textproto.ProtocolError("malformed MIME header line: " + secret)}, "malformed HTTP header"},
		{"status line", fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", fmt.Errorf("malformed HTTP response %q", secret+`" \ x`)), "malformed HTTP response …"},
		{"cut quote", errors.New(`bad "` + secret), "bad …"},
		{"dial for a URL", &url.Error{Op: "Get", URL: "https://a/?query=" + secret, Err: &Unsent{dial}}, "dial tcp 127.0.0.1:80: connection refused"},
		{"dial", &Unsent{dial}, "127.0.0.1:80: connection refused"},
	} {
		got := Plain(c.err)
		if strings.Contains(got.Error(), secret) || !strings.Contains(got.Error(), c.keeps) {
			t.Errorf("%s: %q", c.name, got)
		}
		if cause := errors.Unwrap(c.err); cause != nil && !errors.Is(got, cause) && !strings.Contains(c.name, "URL") {
			t.Errorf("%s: the cause is lost", c.name)
		}
	}
}
