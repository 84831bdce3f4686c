" Vim syntax file for evproxy.ini(5)
if exists("b:current_syntax")
  finish
endif

syntax match evproxyComment /^\s*[#;].*$/
syntax match evproxyComment /\s[#;].*$/
syntax match evproxySection /^\s*\[\(global\|service\s\+[^]]\+\)\]/
syntax match evproxyKey /^\s*[a-z][a-z0-9_]*\ze\s*=/
syntax match evproxyNumber /\<\d\+\(ms\|[smhdKMG]\)\?\>/
syntax match evproxyOption /\<\(weight\|max_connections\|proxy_protocol\)\ze=/
syntax keyword evproxyWord yes no on off auto none all unix backup drain

highlight default link evproxyComment Comment
highlight default link evproxySection Title
highlight default link evproxyKey Identifier
highlight default link evproxyNumber Number
highlight default link evproxyOption Type
highlight default link evproxyWord Constant

let b:current_syntax = "evproxy"
