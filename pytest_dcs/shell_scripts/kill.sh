# Kills all that a command of the long-lived shell has started, in POSIX sh with built-in commands
# only. Neither the environment (`env -i`, sudo) nor the session (setsid) nor the parent (a double
# fork) of a process tells whose it is, but together with the pids from before the command they do.
#
# $1: pid of the shell   $2: pids from before the command   $3: roots of trees to spare
# $4: pid of what adopts orphans: the init of a container
# $5: `shell` when the shell itself is to be killed too

exec 2>/dev/null
shell=$1 before=" $2 " spared=" $3 $$ " adopter=$4 victim=$5
cd /proc || exit 1

# Sets `parent` and `state` of process $1; fails when it has ended.
look_at() {
    parent='' state=''
    while read -r key value _; do
        case $key in
        State:) state=$value ;;
        PPid:) parent=$value && break ;;
        esac
    done <"$1/status"
    [ -n "$parent" ]
}

# Whether process $1 comes from the command: climbs to the shell, or to what adopts orphans; every
# other tree began with a command of its own, was there before, or is of the machine's.
comes_from_command() {
    climbed=$1
    while :; do
        case $spared in *" $climbed "*) return 1 ;; esac
        [ "$climbed" = "$shell" ] && return 0
        [ "$climbed" = "$adopter" ] && return 0
        case $before in *" $climbed "*) return 1 ;; esac
        look_at "$climbed" || return 1
        [ "$parent" = 0 ] && return 1
        climbed=$parent
    done
}

killed=' '
while :; do
    found=no
    for pid in [0-9]*; do
        case $before in *" $pid "*) continue ;; esac
        comes_from_command "$pid" || continue
        look_at "$pid" || continue
        [ "$state" = Z ] && continue
        kill -KILL "$pid"
        case $killed in *" $pid "*) ;; *) found=yes killed="$killed$pid " ;; esac
    done
    [ "$found" = no ] && break
done
[ "$victim" = shell ] && kill -KILL "$shell"
echo "killed$killed"
