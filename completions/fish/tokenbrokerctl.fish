# SPDX-License-Identifier: Apache-2.0
#
# The program knows its own options and asks the daemon for names; here lines
# are turned into what fish wants.

function __tokenbrokerctl_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    for line in ($before[1] --complete $before[2..-1] "$word" 2>/dev/null)
        switch $line
            case :files
                set -l option (string match -r -- '^--[^=]*=' $word)
                for file in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$word"))
                    echo "$option$file"
                end
            case :commands
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end

complete -c tokenbrokerctl -f -a '(__tokenbrokerctl_complete)'
