# bash completion for evproxy(8)
_evproxy()
{
    local cur prev
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    case $prev in
    -c | --config)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
        ;;
    -w | --workers)
        mapfile -t COMPREPLY < <(compgen -W 'auto 1 2 4 8' -- "$cur")
        ;;
    -l | --listen | -u | --upstream) ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W '-c --config -t --check
            --as-service -l --listen -u --upstream -w --workers -V --version
            -h --help' -- "$cur")
        ;;
    esac
}
complete -F _evproxy evproxy
