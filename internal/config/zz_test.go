package config
import ("testing";"fmt";"strings"
"github.com/goccy/go-yaml/parser"
"github.com/goccy/go-yaml/ast"
)
func dump(n ast.Node, d int) {
 ind:=strings.Repeat("  ",d)
 if n==nil {fmt.Println(ind+"nil");return}
 tk:=n.GetToken()
 p:=""
 if tk!=nil { p=fmt.Sprintf("%d:%d off=%d type=%v val=%q orig=%q",tk.Position.Line,tk.Position.Column,tk.Position.Offset,tk.Type,tk.Value,tk.Origin)}
 fmt.Printf("%s%T %s\n",ind,n,p)
 switch v:=n.(type){
 case *ast.MappingNode: for _,x:=range v.Values{dump(x,d+1)}
 case *ast.MappingValueNode: fmt.Println(ind+" k:");dump(v.Key,d+1);fmt.Println(ind+" v:");dump(v.Value,d+1)
 case *ast.SequenceNode: for _,x:=range v.Values{dump(x,d+1)}
 case *ast.TagNode: dump(v.Value,d+1)
 case *ast.AnchorNode: dump(v.Value,d+1)
 case *ast.AliasNode: dump(v.Value,d+1)
 case *ast.LiteralNode: dump(v.Value,d+1)
 case *ast.MappingKeyNode: dump(v.Value,d+1)
 case *ast.StringNode: fmt.Printf("%s  = %q\n",ind,v.Value)
 }
}
func TestZZ(t *testing.T){
 for _,s:=range []string{
 "a: 1\nb:\n  c: 'it''s {{ x }}'\n  d: \"q\\n x\"\n",
 "when: !known()\n", "when: !known() and x\nz: 1\n",
 "a: &x 1\nb: *x\n", "a:\n  <<: *x\n", "a: {<<: {b: 1}}\n", "a: 1\na: 2\n", "a: 1\n---\nb: 2\n", "---\na: 1\n",
 "name: {{ visitor.name }}\n", "name: {{ a }} b\nx: 1\n", "when: a ? b : c\n", "when: x: y\n", "text: Чат: {{ x }}\n",
 "a: |\n  foo\n  bar\nb: >-\n  foo\n  bar\n", "a:\n", "a:\n\n", "", "# only\n", "a: ~\n", "? a\n: b\n", "? [a]\n: b\n", "[a, b]: 1\n", "\tfoo: 1\n", "a:\n\tb: 1\n", "a: 0x10\nb: 1e3\nc: .5\nd: 0o7\ne: 1_000\nf: on\ng: yes\nh: True\ni: 12:30\nj: 2024-01-01\n", "a: 'x\n", "a: \"x\n", "a: [1, 2\n", "a: {b: 1\n", "a: b\n c: d\n", "a:\n  b: 1\n c: 2\n", "a: foo # c\nb: 'x' y\n", "- a\n- b: 1\n  c: 2\n", "a: [x, {y: 1}]\n", "a: foo\n  bar\n  baz\nb: 1\n", "%YAML 1.2\n---\na: 1\n", "a: @foo\n", "a: `x`\n", "a: %x\n", "when: !known\n", "when: ! x\n","when: !!str x\n", "a: x\r\nb: y\r\n", "a: \"\\q\"\n", "\xef\xbb\xbfa: 1\n", "a: \xff\n", "when: *x\n", "when: & x\n", "when: ?x\n", "when: [a] in b\n", "when: \"a\" == b\n", "when: 'a' == b\n", "фы: 1\nb: \"Тест\" \n", "a: {b, c}\n", "a: 1.0\n", "1: x\ntrue: y\nnull: z\n", "a: |2\n   x\n", "a: b: c\n", "a: - b\n", "a\n", "a: 99999999999999999999\n", "a: .inf\n",
 } {
  fmt.Printf("=== %q\n",s)
  func(){ defer func(){ if r:=recover();r!=nil{fmt.Println("PANIC",r)}}()
  f,err:=parser.ParseBytes([]byte(s),0,parser.AllowDuplicateMapKey())
  if err!=nil{fmt.Println("ERR",strings.ReplaceAll(err.Error(),"\n","\\n"));return}
  for _,d:=range f.Docs{dump(d.Body,1)}
  }()
 }
}
