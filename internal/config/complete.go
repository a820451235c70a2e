package config

import (
	"strings"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
	"github.com/jivo-amocrm/bridge/internal/duration"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// complete fills in what a connection's defaults take from other keys, warns
// of what is legal and probably not meant, and compiles the rules and the reply.
func (conn *Connection) complete(r *strict.Reader, c *Config) {
	at := "connections." + conn.Name
	a := &conn.AmoCRM
	if conn.Language == "" {
		conn.Language = "en"
		if strings.HasSuffix(a.Host, ".amocrm.ru") {
			conn.Language = "ru"
		}
	}
	if a.OAuth != nil && !r.Seen(at+".amocrm.oauth.redirect_url") {
		a.OAuth.RedirectURL = c.PublicURL + "/oauth/" + conn.Name
		if c.PublicURL == "" {
			r.Problem(r.At(at+".amocrm.oauth"), "%q is missing (or public_url, which it follows from)", at+".amocrm.oauth.redirect_url")
		}
	}
	conn.advise(r, c, at)
	conn.DefaultRules = !r.Seen(at + ".rules")
	switch {
	case !conn.DefaultRules:
		conn.compile(r, c.vocab)
		conn.referRules()
	case r.Problems() == nil: // else nothing comes of the config anyway
		conn.Rules = conn.defaultRules(r, c.vocab)
		conn.whole = conn.Rules
		conn.compile(r, c.vocab)
	}
	conn.compileReply(r, c.vocab)
}

// advise warns of what works, and less well than it could.
func (conn *Connection) advise(r *strict.Reader, c *Config, at string) {
	a := &conn.AmoCRM
	account := r.At(at + ".amocrm.account")
	if !r.Seen(at + ".amocrm.webhook_secret") {
		r.Warn(account, "no amocrm.webhook_secret: /amocrm/%s is closed, and what operators see of amoCRM is up to %s old (amocrm.sweep)",
			conn.Name, duration.Show(a.Sweep))
	}
	if a.SetupAuto && len(a.WebhookSecrets) > 0 && c.PublicURL == "" {
		r.Warn(r.At(at+".amocrm.setup"), "setup: auto cannot subscribe the hook without public_url")
	}
	for _, hook := range a.WebhookSecrets {
		for _, secret := range conn.Jivo.Secrets {
			if hook.Equal(secret) {
				r.Warn(r.At(at+".amocrm.webhook_secret"), "jivo.secret and amocrm.webhook_secret are the same: who knows one can speak as the other")
			}
		}
	}
}

// refer keeps a name for `bridge check` to look up.
func (conn *Connection) refer(ref Reference) {
	if ref.Name != "" {
		conn.References = append(conn.References, ref)
	}
}

func (conn *Connection) referStage(pipeline string, pipelineAt Pos, stage string, stageAt Pos) {
	conn.refer(Reference{Kind: RefPipeline, Name: pipeline, Line: pipelineAt.Line, Col: pipelineAt.Col})
	conn.refer(Reference{Kind: RefStage, Name: stage, Pipeline: pipeline, Line: stageAt.Line, Col: stageAt.Col})
}

// referRules keeps every name that stands literally in the connection's own
// rules. What the default rules name is optional by design.
func (conn *Connection) referRules() {
	for _, rule := range conn.Rules {
		if b := rule.Contact; b != nil {
			conn.referResponsible(b.Responsible)
			conn.referFields("contacts", b.Fields)
		}
		if b := rule.Lead; b != nil {
			conn.referResponsible(b.Responsible)
			conn.referFields("leads", b.Fields)
			conn.referText(Reference{Kind: RefPipeline}, b.Pipeline)
			if literal(b.Pipeline) || !b.Pipeline.Set {
				conn.referText(Reference{Kind: RefStage, Pipeline: b.Pipeline.Value}, b.Stage)
			}
			conn.referText(Reference{Kind: RefLossReason}, b.LossReason)
		}
		if b := rule.Task; b != nil {
			conn.referResponsible(b.Responsible)
		}
	}
}

// referResponsible leaves out Jivo agents: `agents` says who they are.
func (conn *Connection) referResponsible(t mapping.Text) {
	if _, agent := conn.Agents[t.Value]; !agent {
		conn.referText(Reference{Kind: RefUser}, t)
	}
}

// referFields leaves out fields an account may lack: their keys begin with ?.
func (conn *Connection) referFields(entity string, fields []mapping.Field) {
	for _, f := range fields {
		if !strings.HasPrefix(f.Key.Value, "?") {
			conn.referText(Reference{Kind: RefField, Entity: entity}, f.Key)
		}
	}
}

func (conn *Connection) referText(ref Reference, t mapping.Text) {
	if literal(t) {
		ref.Name, ref.Line, ref.Col = t.Value, t.Line, t.Col
		conn.refer(ref)
	}
}

// literal reports whether a text means the same for every event.
func literal(t mapping.Text) bool { return t.Set && !strings.Contains(t.Value, "{{") }
