# Definitions of gojq 0.12.20 (MIT, itchyny) that iterate over their input, so that the guard reads them too.

def map(f): [.[] | f];

def map_values(f): .[] |= f;

def recurse(f): def r: ., (f | r); r;

def recurse(f; cond): def r: ., (f | select(cond) | r); r;

def recurse: recurse(.[]?);

def to_entries: [keys[] as $k | {key: $k, value: .[$k]}];

def from_entries: map({ (.key // .Key // .name // .Name):
  if has("value") then .value else .Value end }) | add // {};

def with_entries(f): to_entries | map(f) | from_entries;

def min_by(f): _min_by(map([f]));

def max_by(f): _max_by(map([f]));

def sort_by(f): _sort_by(map([f]));

def group_by(f): _group_by(map([f]));

def unique_by(f): _unique_by(map([f]));

def combinations:
  if length == 0 then
    []
  else
    .[0][] as $x | [$x] + (.[1:] | combinations)
  end;

def combinations(n): [limit(n; repeat(.))] | combinations;

def walk(f):
  def _walk:
    if type == "array" then
      map(_walk)
    elif type == "object" then
      map_values(_walk)
    end | f;
  _walk;

def all(g; y): isempty(g | select(y | not));

def all(y): all(.[]; y);

def all: all(.);

def any(g; y): isempty(g | select(y)) | not;

def any(y): any(.[]; y);

def any: any(.);

def tostream:
  path(def r: (.[]? | r), .; r) as $p |
  getpath($p) |
  reduce path(.[]?) as $q ([$p, .]; [$p + $q]);

def paths: path(..) | select(. != []);

def paths(f): path(.. | select(f)) | select(. != []);

def INDEX(stream; idx_expr):
  reduce stream as $row ({}; .[$row | idx_expr | tostring] = $row);

def INDEX(idx_expr):
  INDEX(.[]; idx_expr);

def JOIN($idx; idx_expr):
  [.[] | [., $idx[idx_expr]]];

def JOIN($idx; stream; idx_expr):
  stream | [., $idx[idx_expr]];

def JOIN($idx; stream; idx_expr; join_expr):
  stream | [., $idx[idx_expr]] | join_expr;

def IN(s): any(s == .; .);

def IN(src; s): any(src == s; .);
