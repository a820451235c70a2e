package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
)

var (
	connectionNames = regexp.MustCompile(connectionName)
	domainNames     = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)
	accountHosts    = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.(?:amocrm\.ru|amocrm\.com|kommo\.com)$`)
)

// listenAddress checks host:port.
func listenAddress(s strict.Scalar) (value, complaint string) {
	host, port, err := net.SplitHostPort(s.Text)
	if err != nil {
		hint := ""
		if n, err := strconv.Atoi(s.Text); err == nil && n > 0 && n <= 65535 && !s.Mixed {
			hint = fmt.Sprintf("; did you mean %q?", ":"+s.Text)
		}
		return "", fmt.Sprintf("host:port is expected, not %s%s", s.Show(), hint)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", fmt.Sprintf("%s: the port must be a number from 0 to 65535", s.Show())
	}
	if strings.ContainsAny(host, " /\\@") {
		return "", fmt.Sprintf("host:port is expected, not %s", s.Show())
	}
	return s.Text, ""
}

// onLoopback reports whether an address of a listener is reached from this
// machine only.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopback(host)
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// plainURL parses an absolute http(s) URL of scheme, host and path only.
func plainURL(text string) (*url.URL, string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, "a URL that begins with https:// is expected"
	case u.User != nil:
		return nil, "the URL must not hold a user or password"
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, "the URL must end with its path"
	}
	u.Host = strings.ToLower(u.Host)
	return u, ""
}

// publicURL checks public_url and takes the slash off its end.
func publicURL(s strict.Scalar) (value, complaint string) {
	u, complaint := plainURL(s.Text)
	if complaint != "" {
		return "", complaint
	}
	return strings.TrimRight(u.String(), "/"), ""
}

// redirectURL checks a URL whose every letter must be as registered.
func redirectURL(s strict.Scalar) (value, complaint string) {
	if _, complaint := plainURL(s.Text); complaint != "" {
		return "", complaint
	}
	return s.Text, ""
}

// AccountURL brings the address of an amoCRM account into the form a connection
// has it in; what `amocrm.account` would not take is an error. A token must go
// to no address that was not checked here.
func AccountURL(text string) (string, error) {
	value, complaint := accountURL(strict.Scalar{Text: text})
	if complaint != "" {
		return "", errors.New(complaint)
	}
	return value, nil
}

// accountURL checks the address of an amoCRM account (amocrm-api.md §1): one
// of the platform's hosts by https, or anything on loopback.
func accountURL(s strict.Scalar) (value, complaint string) {
	u, complaint := plainURL(s.Text)
	if complaint != "" && !strings.Contains(s.Text, "://") && !s.Mixed {
		if guess, bad := plainURL("https://" + s.Text); bad == "" && accountHosts.MatchString(guess.Host) {
			return "", fmt.Sprintf("%s; did you mean %q?", complaint, "https://"+s.Text)
		}
	}
	if complaint != "" {
		return "", complaint
	}
	if u.Path != "" && u.Path != "/" {
		return "", "the account's address alone is expected, without a path"
	}
	if loopback(u.Hostname()) {
		return u.Scheme + "://" + u.Host, ""
	}
	if !accountHosts.MatchString(u.Host) || strings.HasPrefix(u.Host, "www.") {
		return "", "the account's host is expected: NAME.amocrm.ru, NAME.amocrm.com or NAME.kommo.com"
	}
	if u.Scheme != "https" {
		return "", "http:// is allowed on loopback only; write https://"
	}
	return "https://" + u.Host, ""
}

// domainName checks a name to get a certificate for.
func domainName(s strict.Scalar) (value, complaint string) {
	name := strings.ToLower(s.Text)
	if !domainNames.MatchString(name) || len(name) > 253 {
		return "", fmt.Sprintf("a domain name such as bridge.example.com is expected, not %s", s.Show())
	}
	return name, ""
}
