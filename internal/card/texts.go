package card

// texts are the built-in words of replies in one language.
type texts struct {
	lead, stage, price, responsible, task, changed string
	lastIn                                         map[string]string
}

func textsOf(language string) texts {
	switch language {
	case "ru":
		return texts{
			lead: "Сделка", stage: "Этап", price: "Бюджет", responsible: "Ответственный", task: "Задача", changed: "Изменилось",
			lastIn: map[string]string{"call_in": "звонок", "mail_in": "письмо", "chat": "сообщение"},
		}
	case "pt":
		return texts{
			lead: "Negócio", stage: "Etapa", price: "Orçamento", responsible: "Responsável", task: "Tarefa", changed: "Mudou",
			lastIn: map[string]string{"call_in": "ligação", "mail_in": "e-mail", "chat": "mensagem"},
		}
	case "es":
		return texts{
			lead: "Negocio", stage: "Etapa", price: "Presupuesto", responsible: "Responsable", task: "Tarea", changed: "Cambió",
			lastIn: map[string]string{"call_in": "llamada", "mail_in": "correo", "chat": "mensaje"},
		}
	}
	return texts{
		lead: "Lead", stage: "Stage", price: "Budget", responsible: "Responsible", task: "Task", changed: "Changed",
		lastIn: map[string]string{"call_in": "call", "mail_in": "e-mail", "chat": "message"},
	}
}
