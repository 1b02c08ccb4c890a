#!/bin/sh
# Makes what compose.yaml reads beside itself: an authority and its certificates, the password of Grafana, the data folders
# and .env. What is there stays; a certificate that is removed is made anew. It needs openssl.
set -eu
cd "$(dirname "$0")"
umask 077
days=${DAYS:-365}
mkdir -p secrets data/etcd1 data/etcd2 data/etcd3 data/prometheus data/grafana

if ! [ -e secrets/ca.key ]; then
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj '/CN=Pinion' \
        -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
        -keyout secrets/ca.key -out secrets/ca.crt 2> /dev/null
fi

# A certificate by its name, with what it may be used for and the names that it is for.
certificate() {
    if [ -e "secrets/$1.crt" ]; then
        return
    fi
    printf 'extendedKeyUsage=%s\nbasicConstraints=CA:FALSE\n%s\n' "$2" "${3:+subjectAltName=$3}" > secrets/extensions
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
        -keyout "secrets/$1.key" -out secrets/request 2> /dev/null
    openssl x509 -req -in secrets/request -CA secrets/ca.crt -CAkey secrets/ca.key -CAcreateserial -days "$days" \
        -extfile secrets/extensions -out "secrets/$1.crt" 2> /dev/null
    rm secrets/request secrets/extensions
    echo "made secrets/$1.crt, for $days days"
}

certificate server serverAuth DNS:localhost,IP:127.0.0.1,DNS:pinion1,DNS:pinion2,DNS:pinion3
certificate etcd serverAuth,clientAuth DNS:localhost,IP:127.0.0.1,DNS:etcd1,DNS:etcd2,DNS:etcd3
certificate etcd-client clientAuth ''

[ -e secrets/grafana-password ] || openssl rand -hex 16 > secrets/grafana-password

# Secrets are plain files here, so the containers run as who owns them, never as root.
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
    uid=65532 gid=65532
    chown -R "$uid:$gid" secrets data
fi
[ -e .env ] || printf 'PINION_UID=%s\nPINION_GID=%s\n' "$uid" "$gid" > .env
