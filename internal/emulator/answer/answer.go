// Package answer makes the HTTP answers of an emulated account, before faults
// get at them: HAL documents, the error bodies of amocrm-api.md §5, the
// gateway's pages.
package answer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Answer is an HTTP answer before faults get at it. The zero value is none.
type Answer struct {
	Status int
	Type   string // content type
	Body   []byte
	Header map[string]string // beside the content type
}

// The content types of amoCRM's answers (amocrm-api.md §1, §5).
const (
	HALJSON     = "application/hal+json"
	ProblemJSON = "application/problem+json"
	PlainJSON   = "application/json"
	HTML        = "text/html; charset=UTF-8"
)

// JSON answers v as JSON.
func JSON(status int, ctype string, v any) Answer {
	b, err := json.Marshal(v)
	if err != nil {
		panic("emulator: answer is not JSON: " + err.Error()) // our own value: a bug here
	}
	return Answer{Status: status, Type: ctype, Body: b}
}

// HAL answers 200 with a HAL document.
func HAL(v any) Answer { return JSON(http.StatusOK, HALJSON, v) }

// Nothing is how amoCRM says "empty list", "no such lead" and "done" (amocrm-api.md §1).
func Nothing() Answer { return Answer{Status: http.StatusNoContent, Type: HALJSON} }

func problemBody(status int, detail string) map[string]any {
	return map[string]any{
		"title": http.StatusText(status), "type": "https://httpstatus.es/" + strconv.Itoa(status),
		"status": status, "detail": detail,
	}
}

// Problem is the error body of amocrm-api.md §5.
func Problem(status int, detail string) Answer {
	return JSON(status, ProblemJSON, problemBody(status, detail))
}

// BusinessError refuses a batch for what it means, by entity id (amocrm-api.md §5).
func BusinessError(errors map[string]string) Answer {
	b := problemBody(http.StatusBadRequest, "Invalid request body")
	b["errors"] = errors
	return JSON(http.StatusBadRequest, ProblemJSON, b)
}

// Invalid refuses a batch for its form; bad is what is wrong, item by item (amocrm-api.md §5).
func Invalid(bad any) Answer {
	b := problemBody(http.StatusBadRequest, "Request validation failed")
	b["validation-errors"] = bad
	return JSON(http.StatusBadRequest, ProblemJSON, b)
}

// Nginx is the page of the gateway before the account.
func Nginx(status int) Answer {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	page := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	return Answer{Status: status, Type: HTML, Body: []byte(page)}
}
