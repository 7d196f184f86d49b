"""What each shell runs: a function that asks the program and hands on its answer."""

from __future__ import annotations

__all__ = ["SCRIPTS"]

_BASH = r"""# do-blockstore: completion for bash
_do_blockstore() {
    local each
    COMPREPLY=()
    # Read line by line: the shell must not split or expand what a name holds.
    while IFS= read -r each; do
        if [[ $each == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r each; do
                COMPREPLY+=("$each")
            done < <(compgen -f -- "$2")
        else
            COMPREPLY+=("$each")
        fi
    done < <("$1" __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
}
complete -F _do_blockstore do-blockstore
"""

_ZSH = r"""#compdef do-blockstore
# do-blockstore: completion for zsh
_do_blockstore() {
    local -a found
    local each value text answer
    local files=0
    # PREFIX is the word up to the cursor, without a quote that is still open.
    answer=$("${(Q)words[1]}" __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    for each in ${(f)answer}; do
        if [[ $each == :files ]]; then
            files=1
            continue
        fi
        value=${each%%$'\t'*}
        text=${each#*$'\t'}
        value=${value//\\/\\\\}
        found+=("${value//:/\\:}${text:+:$text}")
    done
    (( $#found )) && _describe -t values 'do-blockstore' found
    (( files )) && _files
    return 0
}
# As a file of fpath this is the body of the function; sourced, it registers it.
if [[ $funcstack[1] == _do-blockstore ]]; then
    _do_blockstore "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef _do_blockstore do-blockstore
fi
"""

_FISH = r"""# do-blockstore: completion for fish
function __do_blockstore_complete
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    for each in ($program __complete fish $words (commandline -ct) 2>/dev/null)
        if test "$each" = :files
            __fish_complete_path (commandline -ct)
        else
            printf '%s\n' $each
        end
    end
end
complete -c do-blockstore -f -a '(__do_blockstore_complete)'
"""

SCRIPTS = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}
