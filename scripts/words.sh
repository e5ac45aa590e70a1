#!/usr/bin/env bash
# Fails when a retired word of scripts/words.txt is used in code, comments, documents or scripts:
#
#   scripts/words.sh                          the tree, new files included; prints file:line, the word and its replacement
#   scripts/words.sh count                    how often each rule matches, the most frequent first
#   git log --format=%B main.. | scripts/words.sh -    a text, such as commit messages
#
# A line with words:ok is skipped, and so is the line below a comment that consists of it. Not searched: generated files,
# texts of third parties, the glossary and the word list, which name the retired words, and a test's data.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rules=scripts/words.txt
mode=${1:-tree}

# The rules as one expression: git grep finds the lines, perl then says which rule it was. A match can only begin where a word
# does, inside a camelCase name, or at punctuation; saying so first makes the search five times as fast.
any=$(awk -F'\t' '/^#/ || NF < 2 { next } { printf "%s(?:%s)", (n++ ? "|" : ""), $1 }' "$rules")
any="(?:(?<![a-zA-Z])(?=[a-zA-Z])|(?<=[a-z])(?=[A-Z])|(?=[^\\w\\s])|(?=[a-z][A-Z])|^)(?:$any)"

lines() {
  if [[ $mode == - ]]; then
    nl -ba -s: -w1 | sed 's/^/text:/'
    return
  fi
  git grep --untracked -nIP -e "$any" -- '*.go' '*.md' '*.sh' '*.sql' '*.yml' '*.yaml' '*.html' Makefile '*/Dockerfile' .ci/run \
    ':!docs/glossary.md' ':!scripts/words.*' ':!docs/subjects.md' ':!docs/providers.md' ':!*/testdata/*' ':!docs/comparison.md' ||
    [[ $? -eq 1 ]]
}

lines | MODE=$mode perl -e '
  my (@rules, %count, $found);
  open(my $file, "<", shift) or die "words.sh: $!\n";
  while (<$file>) {
    chomp;
    next if /^#/ || !/\t/;
    my ($word, $instead, $paths) = split /\t/;
    push @rules, [qr/$word/, $instead, defined $paths ? qr/$paths/ : undef, $word];
  }
  my %above;
  while (my $line = <STDIN>) {
    chomp $line;
    my ($path, $number, $text) = $line =~ /^([^:]*):(\d+):(.*)$/ or next;
    next if $text =~ /words:ok/ || skipped($path, $number);
    for my $rule (@rules) {
      my ($word, $instead, $paths, $name) = @$rule;
      next if defined $paths && $path !~ $paths;
      while ($text =~ /$word/g) {
        last if $& eq "";
        $found++;
        $count{"$name\t$instead"}++;
        next if $ENV{MODE} eq "count";
        (my $what = $&) =~ s/^\W+|\W+$//g;
        print "$path:$number: \"$what\": $instead\n";
      }
    }
  }
  if ($ENV{MODE} eq "count") {
    printf "%5d  %s\n", $count{$_}, join("  →  ", reverse split /\t/) for sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    printf "%5d  in all\n", $found // 0;
  }
  exit($found ? 1 : 0);

  # skipped tells whether the line above is a comment that allows this one.
  sub skipped {
    my ($path, $number) = @_;
    return 0 if $path eq "text";
    if (!$above{$path}) {
      open(my $source, "<", $path) or return 0;
      $above{$path} = { map { $_ + 1 => 1 } grep { 1 } allowed($source) };
    }
    return $above{$path}{$number};
  }
  sub allowed {
    my ($source) = @_;
    my @lines;
    while (<$source>) { push @lines, $. if m{^\s*(?://|#|--|<!--)\s*words:ok} }
    return @lines;
  }
' "$rules" || {
  [[ $mode == count ]] || echo "words.sh: retired words; docs/glossary.md has those to use (scripts/words.txt has the list)" >&2
  exit 1
}
