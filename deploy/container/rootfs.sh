#!/bin/sh
# Collects the files of the image into a folder that does not exist yet: piniond, git and what both are linked with.
# Usage: rootfs.sh PINIOND FOLDER
set -eu

piniond=$1
root=$2
owner=65532
git_folder=$(git --exec-path)

# A file at its own path, with all links followed.
keep() {
    install -D -m "$(stat -Lc %a "$1")" "$1" "$root$1"
}

# The libraries that a program is linked with, and what loads them.
libraries() {
    ldd "$1" | sed -n -e 's|^.* => \(/[^ ]*\) .*$|\1|p' -e 's|^[[:space:]]*\(/[^ ]*\) (.*$|\1|p'
}

mkdir "$root"
install -D -m 755 "$piniond" "$root/usr/local/bin/piniond"

# Git over https: one program under several names, and the one that speaks https.
install -D -m 755 "$git_folder/git" "$root/usr/bin/git"
install -D -m 755 "$git_folder/git-remote-http" "$root$git_folder/git-remote-http"
ln -s git-remote-http "$root$git_folder/git-remote-https"
ln -s /usr/bin/git "$root$git_folder/git"

for library in $(for program in "$piniond" "$git_folder/git" "$git_folder/git-remote-http"; do libraries "$program"; done | sort -u); do
    keep "$library"
done
# Whom https trusts.
keep /etc/ssl/certs/ca-certificates.crt

mkdir "$root/tmp"
chmod 1777 "$root/tmp"
mkdir -p "$root/var/lib/pinion"
chmod 700 "$root/var/lib/pinion"
chown "$owner:$owner" "$root/var/lib/pinion"
echo "pinion:x:$owner:$owner::/var/lib/pinion:/nonexistent" > "$root/etc/passwd"
echo "pinion:x:$owner:" > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
