#!/bin/bash
# Puts a small file and a multipart upload under odd keys with s3_drive and reads them back with awscli.
# usage: s3_keys.sh DRIVE ENDPOINT BUCKET   (credentials and region from the environment)
set -u
drive=$1 endpoint=$2 bucket=$3
work=$(mktemp -d) failed=0 count=0 refused=0
trap 'rm -rf "$work"' EXIT
head -c 5242881 /dev/urandom >"$work/large"
keys=('plain' 'with space' 'plus+plus' 'per%cent' 'per%41cent' 'a:b' 'a@b' 'a=b' 'a,b' "it's" '(par)' 'ex!cl' 'st*r' 'dol$lar'
    'semi;colon' 'amp&ersand' 'ha#sh' 'quest?ion' 'double"quote' 'back\slash' $'tab\there' $'new\nline' 'a//b' 'a/./b' 'a/../b' './a'
    '../b' 'trail/' 'Grüße' 'дом/水' 'γειά' '😀/x' 'til~de' 'br[ack]et' 'cur{ly}' 'pipe|' 'caret^' 'back`tick' '<lt>&gt;' ' lead'
    'trail ')
check() { # key file
    if aws --endpoint-url "$endpoint" s3api get-object --bucket "$bucket" --key "$1" "$work/back" >/dev/null 2>"$work/err" &&
        cmp -s "$2" "$work/back"; then
        return
    fi
    printf 'FAIL %q: %s\n' "$1" "$(tr '\n' ' ' <"$work/err")"
    failed=$((failed + 1))
}
for key in "${keys[@]}"; do
    count=$((count + 1))
    printf '%s' "$count $key" >"$work/small"
    for kind in put multipart; do
        file=$work/small; [ $kind = multipart ] && file=$work/large
        if "$drive" "$endpoint" $kind "$file" "s3://$bucket/odd-$kind/$key" >"$work/out" 2>&1; then
            check "odd-$kind/$key" "$file"
        elif grep -q XMinioInvalid "$work/out"; then # MinIO has no empty, "." and ".." components
            refused=$((refused + 1))
        else
            printf 'FAIL %s %q: %s\n' $kind "$key" "$(tail -n 1 "$work/out")"
            failed=$((failed + 1))
        fi
    done
done
echo "$count keys, $failed failed, $refused refused by the store itself"
[ $failed = 0 ]
