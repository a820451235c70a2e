package mapping

import "strings"

// texts are the built-in words that end up in amoCRM, in the connection's
// language (product.md §2 `language`).
type texts struct {
	dealDeleted   string // tag on the lead of a deal deleted in Jivo
	dealNote      string // note on the same lead
	taskDeleted   string // result of a task deleted in Jivo
	taskText      string // a task without a text of its own
	clientDeleted string // tag on the contact
	blacklisted   string // tag on the contact
	category      string // name of the contact field of Jivo's client category
	callBack      string

	visitor    string // who speaks, where no name is known; also a contact's name, before the number
	agent      string
	invitation string
	rating     string
	good, bad  string
	operators  string
	chat       string

	page, city, source, firstVisit string

	chatName, formName, callName, dealName string // a lead's name, before the person's
	answer                                 string // the task of an offline message

	date, dateTime string // layouts
}

// textsIn returns the texts of a language; an unknown one speaks English.
func textsIn(language string) *texts {
	switch strings.ToLower(language) {
	case "ru":
		return russian()
	case "pt":
		return portuguese()
	case "es":
		return spanish()
	}
	return english()
}

func russian() *texts {
	return &texts{
		dealDeleted: "удалена в Jivo", dealNote: "Сделка удалена в Jivo", taskDeleted: "удалена в Jivo",
		taskText: "Задача из Jivo", clientDeleted: "удалён в Jivo", blacklisted: "чёрный список", category: "Категория Jivo",
		callBack: "Перезвонить",
		visitor:  "Посетитель", agent: "Оператор", invitation: "Приглашение", rating: "Оценка", good: "хорошо", bad: "плохо",
		operators: "Операторы", chat: "Чат",
		page: "Страница", city: "Город", source: "Источник", firstVisit: "Первое посещение",
		chatName: "Чат", formName: "Заявка", callName: "Звонок", dealName: "Сделка", answer: "Ответить на обращение",
		date: "02.01.2006", dateTime: "02.01.2006 15:04",
	}
}

func english() *texts {
	return &texts{
		dealDeleted: "deleted in Jivo", dealNote: "The deal was deleted in Jivo", taskDeleted: "deleted in Jivo",
		taskText: "Task from Jivo", clientDeleted: "deleted in Jivo", blacklisted: "blacklist", category: "Jivo category",
		callBack: "Call back",
		visitor:  "Visitor", agent: "Agent", invitation: "Invitation", rating: "Rating", good: "good", bad: "bad",
		operators: "Agents", chat: "Chat",
		page: "Page", city: "City", source: "Source", firstVisit: "First visit",
		chatName: "Chat", formName: "Request", callName: "Call", dealName: "Deal", answer: "Answer the message",
		date: "2006-01-02", dateTime: "2006-01-02 15:04",
	}
}

func portuguese() *texts {
	return &texts{
		dealDeleted: "excluído no Jivo", dealNote: "O negócio foi excluído no Jivo", taskDeleted: "excluída no Jivo",
		taskText: "Tarefa do Jivo", clientDeleted: "excluído no Jivo", blacklisted: "lista negra", category: "Categoria Jivo",
		callBack: "Retornar a ligação",
		visitor:  "Visitante", agent: "Operador", invitation: "Convite", rating: "Avaliação", good: "boa", bad: "ruim",
		operators: "Operadores", chat: "Chat",
		page: "Página", city: "Cidade", source: "Origem", firstVisit: "Primeira visita",
		chatName: "Chat", formName: "Pedido", callName: "Ligação", dealName: "Negócio", answer: "Responder à mensagem",
		date: "02/01/2006", dateTime: "02/01/2006 15:04",
	}
}

func spanish() *texts {
	return &texts{
		dealDeleted: "eliminado en Jivo", dealNote: "El trato fue eliminado en Jivo", taskDeleted: "eliminada en Jivo",
		taskText: "Tarea de Jivo", clientDeleted: "eliminado en Jivo", blacklisted: "lista negra", category: "Categoría Jivo",
		callBack: "Devolver la llamada",
		visitor:  "Visitante", agent: "Operador", invitation: "Invitación", rating: "Valoración", good: "buena", bad: "mala",
		operators: "Operadores", chat: "Chat",
		page: "Página", city: "Ciudad", source: "Origen", firstVisit: "Primera visita",
		chatName: "Chat", formName: "Solicitud", callName: "Llamada", dealName: "Trato", answer: "Responder al mensaje",
		date: "02/01/2006", dateTime: "02/01/2006 15:04",
	}
}
