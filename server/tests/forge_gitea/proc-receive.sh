#!/bin/sh
# Speaks git's proc-receive protocol, and opens pull requests as Gitea does (its services/agit). A pull request is a folder
# of files beside the repository.
LC_ALL=C
export LC_ALL
topic= title=

packet() {
    printf '%04x%s\n' $((${#1} + 5)) "$1"
}

# The next packet into $line; fails at a flush packet.
take() {
    length=$((0x$(head -c 4)))
    [ "$length" -gt 4 ] || return 1
    line=$(head -c $((length - 4)) | tr -d '\0\n')
}

pull() {
    for pull in pulls/*; do
        [ -d "$pull" ] || continue
        [ "$(cat "$pull/state")" = open ] && [ "$(cat "$pull/flow")" = agit ] &&
            [ "$(cat "$pull/head")" = "$1" ] && [ "$(cat "$pull/base")" = "$2" ] && return 0
    done
    return 1
}

while take; do :; done
printf '%04xversion=1\0push-options\n' 27
printf 0000
take && new=${line#* } && name=${new#* } && new=${new%% *}
while take; do :; done
while take; do
    case $line in
        topic=*) topic=${line#topic=} ;;
        title=*) title=${line#title=} ;;
    esac
done

base=${name#refs/for/}
head=$REMOTE_USER/$topic
if [ -z "$topic" ]; then
    packet "ng $name topic-branch is not set"
elif ! git rev-parse --quiet --verify "refs/heads/$base" >/dev/null; then
    packet "ng $name internal error"
elif pull "$head" "$base"; then
    if [ "$(git rev-parse "refs/pull/${pull#pulls/}/head")" = "$new" ]; then
        packet "ng $name new commit is same with old commit"
    else
        packet "ng $name request \`force-push\` push option"
    fi
else
    number=1
    mkdir -p pulls
    until mkdir "pulls/$number" 2>/dev/null; do number=$((number + 1)); done
    message() { git cat-file commit "$new" | sed '1,/^$/d'; }
    [ -n "$title" ] || title=$(message | head -n 1)
    printf %s "$title" >"pulls/$number/title"
    message | sed '1,/^$/d' >"pulls/$number/body"
    printf %s "$head" >"pulls/$number/head"
    printf %s "$base" >"pulls/$number/base"
    printf %s "$REMOTE_USER" >"pulls/$number/poster"
    printf agit >"pulls/$number/flow"
    printf open >"pulls/$number/state"
    git update-ref "refs/pull/$number/head" "$new"
    packet "ok $name"
    packet "option refname refs/pull/$number/head"
    packet "option old-oid $(printf %040d 0)"
    packet "option new-oid $new"
fi
printf 0000
