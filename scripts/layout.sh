#!/usr/bin/env bash
# Checks the layout of the code (docs/adr/0009): which package may import which, and how large files, types and packages are. Tests are
# not counted. Prints what violates a rule, and fails if there is anything.
#
#   - The root has no Go file.
#   - A package imports only packages of lower layers. Each package is in one layer, listed below.
#   - A file has at most 350 lines, except those named below.
#   - A type has at most 60 methods.
#   - A package has at most 8,500 lines.
#   - A path in a code span of a document exists.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The layers, lowest first. Paths are relative to the module.
layers='
actors/budget actors/wait
actors/pattern
actors/jq actors/schema
 subjects kv mesh/fair mesh/pki actors/langtag actors/egress actors/database actors/integration/webhook actors/integration/providers actors/notification/channel actors/notification/timing actors/notification/template actors/workflow/language actors/workflow/migrations actors/workflow/packed actors/actortest/mailsink
mesh gateway/mcp mesh/memory mesh/compute actors/outbox actors/deferred actors/quota actors/seal actors/integration/manifest actors/workflow/openapi actors/workflow/schedule actors/workflow/reference
mesh/embedded gateway actors actors/idempotency actors/oauthstate actors/integration/providers/slices actors/workflow/machine
actors/workflow/definition actors/workflow/diagram actors/workflow/extension
actors/runtime actors/dataexport actors/workflow/engine actors/auth/password actors/notification/dispatch actors/notification/providers actors/consent/ledger actors/consent/receipt
actors/workflow/edges actors/auth/lockout actors/auth/refresh actors/auth/holdings actors/notification/mailcheck actors/notification/webhooks
actors/actortest actors/auth actors/consent actors/integration actors/notification actors/workflow edge
cmd/weft/settings cmd/weft/backup
cmd/weft cmd/weft-generate e2e examples/extensions/go
'

# Files that may have more than 350 lines, at most five, separated by spaces. One that no longer has must be removed.
long=''

export layers long
# shellcheck disable=SC2016 # perl's variables
go list -json=Dir,ImportPath,Imports,GoFiles,IgnoredGoFiles,Module ./... | perl -MJSON::PP -MFile::Spec -e '
  use strict;
  use warnings;
  my ($maxFile, $maxMethods, $maxPackage, $maxLong) = (350, 60, 8500, 5);
  my $violations = 0;
  sub violation { $violations++; print STDERR @_, "\n" }

  my (%layer, %long);
  my $n = 0;
  for my $line (grep { /\S/ } split /\n/, $ENV{layers}) {
    $n++;
    $layer{$_} = $n for split " ", $line;
  }
  $long{$_} = 1 for split " ", $ENV{long};
  violation("scripts/layout.sh: ", scalar keys %long, " long files are named, at most $maxLong may be") if keys %long > $maxLong;

  violation("$_: the root has no Go file; commands are in cmd, tests of the binary in e2e") for glob("*.go");

  my $decoder = JSON::PP->new;
  { local $/; $decoder->incr_parse(<STDIN>) }
  while (my $package = $decoder->incr_parse) {
    my $module = $package->{Module}{Path};
    (my $path = $package->{ImportPath}) =~ s{^\Q$module\E/?}{};
    violation("$path: is in no layer; add it to one in scripts/layout.sh") if !$layer{$path};
    for my $import (@{ $package->{Imports} || [] }) {
      next if $import !~ s{^\Q$module\E/}{};
      next if !$layer{$path} || !$layer{$import} || $layer{$import} < $layer{$path};
      violation("$path: imports $import, which is in layer $layer{$import}, not below layer $layer{$path}");
    }
    my ($lines, %methods) = (0);
    for my $name (@{ $package->{GoFiles} || [] }, @{ $package->{IgnoredGoFiles} || [] }) {
      next if $name =~ /_test\.go$/;
      my $file = "$path/$name";
      open(my $source, "<", $file) or die "layout.sh: $file: $!\n";
      my $length = 0;
      while (<$source>) {
        $length++;
        $methods{$1}++ if /^func \((?:\w+ )?\*?(\w+)(?:\[[^\]]*\])?\) /;
      }
      $lines += $length;
      if ($length > $maxFile && !$long{$file}) { violation("$file: $length lines, at most $maxFile") }
      if ($length <= $maxFile && $long{$file}) { violation("$file: $length lines; remove it from the long files of scripts/layout.sh") }
      delete $long{$file};
    }
    for my $type (sort keys %methods) {
      violation("$path: type $type has $methods{$type} methods, at most $maxMethods") if $methods{$type} > $maxMethods;
    }
    violation("$path: $lines lines, at most $maxPackage") if $lines > $maxPackage;
  }
  violation("$_: does not exist; remove it from the long files of scripts/layout.sh") for sort keys %long;

  # Paths in documents: code spans that begin with a folder of this repository and have neither placeholder nor wildcard.
  chomp(my @files = `git ls-files --cached --others --exclude-standard`);
  my (%exists, %top);
  for my $file (@files) {
    next if !-e $file;
    my $path = $file;
    $top{$1} = 1 if $path =~ m{^([^/]+)/};
    $exists{$path} = 1;
    $exists{$path} = 1 while $path =~ s{/[^/]*$}{};
  }
  for my $document (grep { m{^(?:[^/]+|docs/[^/]+|docs/adr/\d[^/]+)\.md$} && -e } @files) {
    # These quote other repositories.
    next if $document =~ m{^(?:CHANGELOG|docs/comparison|docs/provider-evidence|docs/providers)\.md$};
    open(my $text, "<", $document) or die "layout.sh: $document: $!\n";
    my $fenced = 0;
    while (<$text>) {
      $fenced = !$fenced if /^\s*```/;
      next if $fenced;
      for my $span (/`([^`]+)`/g) {
        next if $span !~ m{^(?:\./)?([\w.-]+)/[\w./-]+$} || !$top{$1};
        next if $span =~ /acme_shop|PROVIDER/;    # examples
        (my $path = $span) =~ s{^\./|/(?:\.\.\.)?$}{}g;
        violation("$document:$.: $span does not exist") if !$exists{$path};
      }
    }
  }
  exit($violations ? 1 : 0);
' || {
  echo "layout.sh: the layout is described in CONTRIBUTING.md and docs/adr/0009-packages-by-layer-and-an-engine-of-its-own.md" >&2
  exit 1
}
