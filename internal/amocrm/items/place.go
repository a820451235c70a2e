package items

import (
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// setPlace writes pipeline, stage and loss reason. A lead that was found is
// moved only under overwrite, or when its stage changed in Jivo.
func (d *draft) setPlace(have *event.Lead) {
	var to dict.Stage
	switch {
	case d.create:
		to = d.firstPlace()
	case d.want.Update == event.Overwrite || d.changed(keyStage) || d.changed(keyPipeline):
		to = d.nextPlace(have)
	}
	status := have.StatusID
	if to.ID != 0 && (to.ID != have.StatusID || to.PipelineID != have.PipelineID) {
		// Always both: 142 and 143 are shared by all pipelines (amocrm-api.md §4.2).
		d.item["status_id"], d.item["pipeline_id"] = to.ID, to.PipelineID
		status = to.ID
	}
	d.setLossReason(have, status)
}

// firstPlace is where a new lead goes; the zero dict.Stage if nothing is known,
// which leaves it to amoCRM: the first stage of the main pipeline.
func (d *draft) firstPlace() dict.Stage {
	p, ok := d.pipelineWanted()
	if !ok {
		main, known := d.Dict.MainPipeline()
		if !known {
			if d.want.Stage != "" {
				d.lostStage()
			}
			return dict.Stage{}
		}
		p = main
	}
	return d.stageIn(p.ID)
}

// nextPlace is where a known lead goes, the zero dict.Stage if it stays. A
// pipeline that does not exist leaves the lead in its own.
func (d *draft) nextPlace(have *event.Lead) dict.Stage {
	p, ok := d.pipelineWanted()
	if !ok {
		if p, ok = d.Dict.PipelineByID(have.PipelineID); !ok {
			p, ok = d.Dict.PipelineOf(have.StatusID)
		}
	}
	if !ok {
		if d.want.Stage != "" {
			d.lostStage()
		}
		return dict.Stage{}
	}
	if spelling.Line(d.want.Stage) == "" && p.ID == have.PipelineID {
		return dict.Stage{}
	}
	return d.stageIn(p.ID)
}

// pipelineWanted is the live pipeline the lead is wanted in, if one is named:
// by its own name or id, or by the id of one of its stages.
func (d *draft) pipelineWanted() (dict.Pipeline, bool) {
	name := spelling.Line(d.want.Pipeline)
	if name == "" {
		id, _ := spelling.ID(d.want.Stage)
		p, ok := d.Dict.PipelineOf(id)
		return p, ok && !p.Archived
	}
	p, ok := d.Dict.Pipeline(name)
	if ok && !p.Archived {
		return p, true
	}
	name = spelling.Cut(name, 64)
	if d.create {
		d.warn(WarnPipeline, name, "pipeline %q: no such pipeline; the main one is taken", name)
	} else {
		d.warn(WarnPipeline, name, "pipeline %q: no such pipeline; the lead stays in its own", name)
	}
	return dict.Pipeline{}, false
}

// stageIn is the wanted stage of a pipeline, its first one if none is named or
// there is none of that name.
func (d *draft) stageIn(pipelineID int64) dict.Stage {
	if name := spelling.Line(d.want.Stage); name != "" {
		if s, ok := d.Dict.Stage(pipelineID, name); ok {
			return s
		}
		d.lostStage()
	}
	first, _ := d.Dict.FirstStage(pipelineID)
	return first
}

func (d *draft) lostStage() {
	name := spelling.Cut(spelling.Line(d.want.Stage), 64)
	d.warn(WarnStage, name, "stage %q: no such stage in the pipeline", name)
}

// setLossReason writes the reason of a lead that is lost, or becomes so with
// this item: with any other amoCRM refuses it (amocrm-api.md §4.2).
func (d *draft) setLossReason(have *event.Lead, status int64) {
	name := spelling.Line(d.want.LossReason)
	if name == "" {
		return
	}
	moved := d.item["status_id"] != nil
	if status != event.StatusLost {
		if moved || d.changed(keyLossReason) {
			d.warn(WarnValue, "", "loss reason: the lead is not lost")
		}
		return
	}
	r, ok := d.Dict.LossReason(name)
	if !ok {
		name = spelling.Cut(name, 64)
		d.warn(WarnLossReason, name, "loss reason %q: no such reason", name)
		return
	}
	if r.ID != have.LossReasonID && (moved || d.takes(keyLossReason, have.LossReasonID == 0, false)) {
		d.item["loss_reason_id"] = r.ID
	}
}
