#!/bin/sh
# Installs the connector on a Debian or Ubuntu with systemd, or upgrades it: docs/deploy.md says what this does and why.
#
#   sudo deploy/install.sh [--nginx crm.example.com] [--no-backup] [FILE]
#
# FILE is the single file; dist/connector.pyz if none is given. Run again, it changes only what is not as it should be.
# Settings (/etc/connector.env), data, a site of nginx and which units are enabled stay as they are.
set -eu
PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH # which su leaves out

refuse() {
    echo "$*" >&2
    exit 1
}

usage="Usage: sudo deploy/install.sh [--nginx NAME] [--no-backup] [FILE]"
source=$(dirname "$0")
file=$source/../dist/connector.pyz
name='' backup=yes
while [ $# -gt 0 ]; do
    case $1 in
    --nginx) name=${2:-} && shift && case $name in '' | *[!a-z0-9.-]*) refuse "$usage" ;; esac ;;
    --no-backup) backup='' ;;
    -*) refuse "$usage" ;;
    *) file=$1 ;;
    esac
    shift
done

# ---- whether it can be done: nothing is changed before all of this is known

[ "$(id -u)" = 0 ] || refuse "It adds a user and units, which root alone may do: sudo $0"
[ -d /run/systemd/system ] || refuse "systemd does not run here. docs/deploy.md has another way: in a container."
[ -f "$file" ] || refuse "There is no $file. Make it first, as yourself: make dist"
[ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "/usr/bin/python3 must be Python 3.11 or newer: apt-get install python3"
for tool in useradd runuser; do
    command -v $tool >/dev/null || refuse "There is no command $tool: apt-get install passwd util-linux"
done
if [ "$name" ]; then
    command -v nginx >/dev/null || refuse "There is no nginx: apt-get install nginx"
    [ -f "/etc/letsencrypt/live/$name/fullchain.pem" ] || refuse "There is no certificate of $name. Get one first:" \
        "certbot certonly --webroot -w /var/www/html -d $name --deploy-hook 'systemctl reload nginx'"
fi

data=/var/lib/connector program=/opt/connector/connector.pyz connector=/usr/local/sbin/connector
new=$program.new changed=''

# put MODE FROM TO: install a file, and remember it where it was not there as it is.
put() {
    cmp --quiet "$2" "$3" && return
    install -m "$1" "$2" "$3"
    changed=yes
}

# ---- the user, the folders, the settings

id connector >/dev/null 2>&1 || useradd --system --home-dir $data --shell /usr/sbin/nologin connector
install -d -m 700 -o connector -g connector $data $data/backups
install -d -m 755 /opt/connector
[ -e /etc/connector.env ] || (
    umask 077
    echo "# Settings (docs/settings.md), a line each: WORKERS=2. Then: systemctl restart connector.service" >/etc/connector.env
)

# ---- the program

install -m 644 "$file" $new
trap 'rm -f $new' EXIT
(cd $data && runuser -u connector -- /usr/bin/python3 $new --help >/dev/null) ||
    refuse "$file does not run with /usr/bin/python3. Nothing was installed."
restore='' way_back=''
if [ -e $program ] && ! cmp --quiet $new $program; then
    if [ "$backup" ]; then
        kept=backups/before-$(date +%Y-%m-%d-%H%M%S).db
        $connector backup "$kept" || refuse "Nothing was upgraded, as there is no backup. Where you have another, as of" \
            "PostgreSQL, or there is nothing to keep yet: --no-backup"
        restore="
    sudo connector restore $kept"
    fi
    cp -p $program /opt/connector/connector.old.pyz
    way_back="To go back:
    sudo systemctl stop connector.service
    sudo cp /opt/connector/connector.old.pyz $program$restore
    sudo systemctl start connector.service"
fi
put 644 $new $program
put 755 "$source/connector" $connector

# ---- the first token: a service that finds none makes one, and its text would be in the journal

units=/etc/systemd/system first=yes
[ ! -e $units/connector.service ] || first=''
if [ "$first" ] && [ "$($connector token list 2>/dev/null | wc -l)" -lt 2 ]; then
    $connector user add admin@localhost --name Administrator >/dev/null 2>&1 || true # it may be there already
    token=$($connector token create admin@localhost --scope admin --label "made by install.sh")
    printf 'The first user is admin@localhost, with a token that may do all. It is shown only now:\n\n    %s\n\n' "$token"
fi

# ---- the service

for unit in connector-backup.service connector-backup.timer connector-retention.service connector-retention.timer \
    connector.service; do # this at last: where it is missing, an installation was not finished
    put 644 "$source/$unit" $units/$unit
done
systemctl daemon-reload
if [ "$first" ]; then
    systemctl enable --quiet --now connector.service connector-backup.timer
elif [ "$changed" ]; then
    systemctl try-restart connector.service connector-backup.timer connector-retention.timer
fi
if systemctl --quiet is-enabled connector.service; then
    tries=60 # an upgrade of a million emails takes half a minute
    until $connector health >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || refuse "The service is not ready. Why: sudo journalctl -u connector.service -n 20
$way_back"
        sleep 1
    done
    echo "The connector runs. Look it over: sudo connector doctor"
else
    echo "The connector is installed; connector.service is not enabled, and was left alone."
fi

# ---- the proxy

if [ "$name" ]; then
    site=/etc/nginx/sites-available/connector
    if [ -e $site ]; then
        echo "$site was left as it is."
    else
        sed "s/crm\.example\.com/$name/" "$source/nginx.conf" >$site
    fi
    ln -sf ../sites-available/connector /etc/nginx/sites-enabled/connector
    nginx -t || refuse "nginx does not take the site, and goes on with its old settings."
    systemctl reload nginx
    echo "nginx passes calls on: curl -i https://$name/health/live"
fi
