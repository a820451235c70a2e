package config_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/config/strict"
)

// everySecret is a config that holds a secret wherever one may stand.
const everySecret = `public_url: https://bridge.example.com
admin: {token: "${BRIDGE_ADMIN_TOKEN}"}
connections:
  shop:
    jivo: {secret: ["${JIVO_SECRET}", canary-5f3a90c1d7e2-literal]}
    amocrm:
      account: https://example.amocrm.ru
      webhook_secret: "${AMOCRM_WEBHOOK_SECRET}"
      token: "${AMOCRM_TOKEN}"
  other:
    jivo: {secret: "${JIVO_SECRET}"}
    amocrm:
      account: https://other.kommo.com
      webhook_secret: ["${AMOCRM_WEBHOOK_SECRET}"]
      oauth: {client_id: id, client_secret: "${AMOCRM_CLIENT_SECRET}"}
`

// TestSecret_NeverPrinted holds a whole config against every way of printing.
func TestSecret_NeverPrinted(t *testing.T) {
	t.Parallel()
	cfg := good(t, everySecret)
	conn := cfg.Connections[0]
	secret := conn.AmoCRM.Token
	type private struct{ secret config.Secret }

	var out bytes.Buffer
	for _, v := range []any{*cfg, *conn, conn.AmoCRM, conn.Jivo, *cfg.Connections[1].AmoCRM.OAuth, secret, &secret, private{secret}, &private{secret}, []config.Secret{secret}, map[config.Secret]int{secret: 1}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%p", "%T", "%U"} {
			fmt.Fprintf(&out, verb, v)
		}
		fmt.Fprint(&out, v, fmt.Errorf("wrapped %v", v), errors.Join(fmt.Errorf("%w and %s", errors.New("x"), v)))
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("x", "v", v, slog.Any("w", v), slog.Group("g", "v", v))
		}
	}
	for _, v := range []any{conn.AmoCRM.Token, conn.Jivo, cfg.Admin, map[config.Secret]int{secret: 1}, *cfg.Connections[1].AmoCRM.OAuth} {
		if text, err := json.Marshal(v); err != nil {
			t.Errorf("JSON of %T: %v", v, err)
		} else {
			out.Write(text)
		}
	}
	for _, marshal := range []func(any) ([]byte, error){yaml.Marshal, xml.Marshal} {
		text, err := marshal(cfg.Connections[1].AmoCRM.OAuth)
		if err != nil {
			t.Error(err)
		}
		out.Write(text)
	}
	_ = gob.NewEncoder(&out).Encode(cfg.Admin)

	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), fmt.Sprintf("%x", "canary")) || strings.Contains(out.String(), fmt.Sprintf("%X", "canary")) {
		t.Errorf("a secret is told")
	}
	if n := strings.Count(out.String(), "<secret>"); n < 100 {
		t.Errorf("<secret> stands only %d times: the test prints nothing", n)
	}
	if secret.Reveal() != canary+"-token" || cfg.Connections[1].AmoCRM.OAuth.ClientSecret.Reveal() != canary+"-client" || cfg.Admin.Token.Reveal() != canary+"-admin" {
		t.Error("the values are not there")
	}
	if got := conn.Jivo.Secrets; len(got) != 2 || got[0].Reveal() != canary+"-jivo" || got[1].Reveal() != "canary-5f3a90c1d7e2-literal" {
		t.Error("the rotating secrets are not there")
	}
}

func TestSecret_ZeroIsNone(t *testing.T) {
	t.Parallel()
	var none config.Secret
	if !none.IsZero() || none.Reveal() != "" || !none.Equal(strict.NewSecret("")) || strict.NewSecret("x").IsZero() || none.Equal(strict.NewSecret("x")) {
		t.Error("the zero Secret is not empty")
	}
	if s := fmt.Sprintf("%s %v", none, none); s != "<secret> <secret>" {
		t.Errorf("prints %q", s)
	}
}

// TestProblems_NeverTellASecret breaks a config with literal secrets in every
// line, in many ways, and looks for the secrets in what is said.
func TestProblems_NeverTellASecret(t *testing.T) {
	t.Parallel()
	literal := strings.NewReplacer("${BRIDGE_ADMIN_TOKEN}", canary, "${JIVO_SECRET}", canary, "${AMOCRM_WEBHOOK_SECRET}", canary,
		"${AMOCRM_TOKEN}", canary, "${AMOCRM_CLIENT_SECRET}", canary).Replace(everySecret)
	literal = strings.ReplaceAll(literal, "    jivo:", "    rules: []\n    jivo:") // the default ones take time
	lines := strings.Split(literal, "\n")
	told := 0
	for i, line := range lines {
		for _, broken := range []string{
			line + ": x", line + " x", " " + line, "\t" + line, strings.Replace(line, `"`, "", 1), strings.ReplaceAll(line, `"`, ""),
			strings.ReplaceAll(line, `"`, "'"), strings.Replace(line, ": ", ":", 1), strings.Replace(line, ": ", ": !", 1), strings.Replace(line, ": ", ": *", 1),
			strings.Replace(line, ": ", ": &x ", 1), strings.Replace(line, ": ", ": ? ", 1), strings.Replace(line, ": ", ": - ", 1),
			strings.Replace(line, "canary", "!canary", 1), strings.Replace(line, `"canary`, "!canary", 1), strings.Replace(line, "canary", "can ary: canary", 1),
			strings.Replace(line, `"canary`, "canary: canary", 1), strings.Replace(line, canary, `\q`+canary, 1), strings.Replace(line, canary, canary+"{{", 1),
			strings.Replace(line, canary, canary+"${", 1), strings.Replace(line, canary, canary+"/", 1), strings.Replace(line, `"`+canary, canary+`"`, 1),
			line + "\n" + line, "",
		} {
			text := strings.Join(append(append(append([]string{}, lines[:i]...), broken), lines[i+1:]...), "\n")
			_, problems := parse(text)
			if problems == nil {
				continue
			}
			told++
			if said := problems.Error(); strings.Contains(said, canary[:12]) {
				t.Errorf("line %d as %q: %s", i+1, broken, said)
			}
		}
	}
	if told < 100 {
		t.Errorf("only %d of these were refused", told)
	}
}
