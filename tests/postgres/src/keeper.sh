# Runs a Postgres server for as long as anybody holds the lock on the file `held`, and then removes all of it.
#
# keeper.sh DIRECTORY USER BIN PORT LINGER: USER is whom the server runs as, - for whoever runs this; LINGER, in seconds,
# is how long it waits for others to come once nobody is there. The directory has `password`, `settings`, and `hba` where
# pg_hba.conf is to be another; in the end it has `port`, once connections are taken, or `failed`.
directory=$1 user=$2 bin=$3 port=$4 linger=$5
cd "$directory" || exit 1
exec 8>>held

as_user() {
    if [ "$user" = - ]; then
        setpriv --pdeathsig INT "$@"
    else
        setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --pdeathsig INT "$@"
    fi
}

finish() {
    rm -f port
    as_user "$bin/pg_ctl" stop -D data -m immediate -s >/dev/null 2>&1
    rm -rf "$directory"
    exit
}
trap finish INT TERM

[ "$user" = - ] || chown -R "$user" .
{
    as_user "$bin/initdb" --pgdata data --username evenkeel --pwfile password --auth scram-sha-256 --encoding UTF8 \
        --no-locale --no-sync &&
    cat settings >>data/postgresql.conf &&
    { [ ! -e hba ] || cp hba data/pg_hba.conf; }
} >log 2>&1 8>&- || { mv log failed; exit 1; }
as_user "$bin/postgres" -D data >>log 2>&1 8>&- &
server=$!
until as_user "$bin/pg_isready" -q -h "$directory" -p "$port" 8>&-; do
    kill -0 $server 2>/dev/null || { mv log failed; exit 1; }
    sleep 0.05
done
echo "$port" >port.new && mv port.new port
# Nobody is there once the lock can be had, and nobody has come where it still can a moment later.
while :; do
    flock --exclusive 8
    flock --unlock 8
    sleep "$linger"
    flock --exclusive --nonblock 8 && break
done
finish
