autocmd BufNewFile,BufRead /etc/evproxy/*.ini,evproxy.ini setfiletype evproxy
