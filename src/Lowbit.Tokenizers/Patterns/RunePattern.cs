using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Patterns;

/// <summary>
/// A regular expression over code points. The runtime's own works on UTF-16 units, so that <c>\p{L}</c> misses every
/// letter beyond the basic plane; it has no possessive quantifiers and no bound on the work of a hostile pattern.
/// </summary>
/// <remarks>A backtracking matcher: leftmost, first alternative first. A repeated class costs one entry of the backtrack stack.</remarks>
internal sealed class RunePattern
{
    private const int LongestProgram = 20_000;
    private const int DeepestStack = 4_000_000;

    private enum Op { One, Repeat, Split, Jump, Look, LookBehind, Atomic, At, Accept }

    /// <param name="Op">What to do.</param>
    /// <param name="Set">One, Repeat, LookBehind: the class.</param>
    /// <param name="A">Repeat: least count. Split, Jump: first target. Look, Atomic: where to go on. At: the anchor.</param>
    /// <param name="B">Repeat: greatest count. Split: second target.</param>
    /// <param name="Flag">Repeat: possessive. Look, LookBehind: negative.</param>
    private readonly record struct Instruction(Op Op, RuneClass? Set = null, int A = 0, int B = 0, bool Flag = false);

    /// <summary>Where to go on after a failure: at every position from Last down to First, the last one first.</summary>
    private readonly record struct Choice(int Instruction, int First, int Last);

    private readonly List<Instruction> _program = [];
    private readonly Instruction[] _code;
    private int _compiled;

    /// <summary>Compiles a pattern.</summary>
    /// <param name="pattern">In the dialect of Oniguruma.</param>
    /// <exception cref="LowbitException">The pattern is not understood or too large.</exception>
    public RunePattern(string pattern)
    {
        Compile(new PatternParser(pattern).Parse(), pattern);
        Emit(new Instruction(Op.Accept), pattern);
        _code = [.. _program];
        _program = [];
    }

    /// <summary>The pattern that matches a text as it stands.</summary>
    public static string Escape(string text)
    {
        StringBuilder pattern = new();
        foreach (Rune rune in text.EnumerateRunes()) pattern.Append(CultureInfo.InvariantCulture, $@"\x{{{rune.Value:X}}}");
        return pattern.ToString();
    }

    /// <summary>All matches from left to right, none overlapping; an empty one never touches the one before.</summary>
    /// <param name="text">Where to look; its ends are the ends of the text for lookaheads and anchors.</param>
    /// <param name="meter">Counts the steps.</param>
    /// <param name="matches">Where to put beginnings and ends.</param>
    public void FindAll(ReadOnlySpan<char> text, WorkMeter meter, List<(int Start, int End)> matches)
    {
        Stack<Choice> choices = new();
        int from = 0, lastEnd = -1;
        while (from <= text.Length && Find(text, from, choices, meter, out int start, out int end))
        {
            if (start == end && end == lastEnd)
            {
                from = end + (end < text.Length ? RuneLength(text, end) : 1);
                continue;
            }
            matches.Add((start, end));
            from = lastEnd = end;
        }
    }

    private bool Find(ReadOnlySpan<char> text, int from, Stack<Choice> choices, WorkMeter meter, out int start, out int end)
    {
        ref readonly Instruction lead = ref _code[0];
        for (start = from; start <= text.Length; start += start < text.Length ? RuneLength(text, start) : 1)
        {
            end = Run(text, 0, start, choices, meter);
            if (end >= 0) return true;
            // A leading unbounded repetition that failed here fails at every later position of the same run as well,
            // since it can end at fewer places there: without this, a run of blanks costs its length squared.
            if (lead.Op == Op.Repeat && lead.A <= 1 && lead.B == int.MaxValue)
            {
                int run = start;
                while (run < text.Length && lead.Set!.Contains(RuneAt(text, run, out int length))) run += length;
                if (run >= text.Length) break;
                start = run;
            }
        }
        end = -1;
        return false;
    }

    /// <summary>Runs the program from one instruction; the end of the match, or -1.</summary>
    private int Run(ReadOnlySpan<char> text, int instruction, int position, Stack<Choice> choices, WorkMeter meter)
    {
        int bottom = choices.Count;
        long steps = 0;
        while (true)
        {
            steps++;
            ref readonly Instruction now = ref _code[instruction];
            bool matches = true;
            switch (now.Op)
            {
                case Op.One:
                    matches = position < text.Length && now.Set!.Contains(RuneAt(text, position, out int length)) && Advance(ref position, length);
                    instruction++;
                    break;
                case Op.Repeat:
                    matches = Repeat(text, in now, ++instruction, ref position, choices, ref steps);
                    break;
                case Op.Split:
                    if (choices.Count > DeepestStack) throw new LowbitException("a pattern of the tokenizer keeps too many choices open; get the file again.");
                    choices.Push(new Choice(now.B, position, position));
                    instruction = now.A;
                    break;
                case Op.Jump:
                    instruction = now.A;
                    break;
                case Op.Look:
                    matches = Run(text, instruction + 1, position, choices, meter) >= 0 != now.Flag;
                    instruction = now.A;
                    break;
                case Op.LookBehind:
                    matches = (position > 0 && now.Set!.Contains(RuneBefore(text, position))) != now.Flag;
                    instruction++;
                    break;
                case Op.Atomic:
                    int inner = Run(text, instruction + 1, position, choices, meter);
                    matches = inner >= 0;
                    if (matches) position = inner;
                    instruction = now.A;
                    break;
                case Op.At:
                    matches = Holds((Anchor)now.A, text, position);
                    instruction++;
                    break;
                default: // Accept
                    while (choices.Count > bottom) choices.Pop();
                    meter.Add(steps);
                    return position;
            }
            if (matches) continue;
            if (choices.Count == bottom)
            {
                meter.Add(steps);
                return -1;
            }
            Choice choice = choices.Pop();
            (instruction, position) = (choice.Instruction, choice.Last);
            if (choice.Last > choice.First) choices.Push(choice with { Last = Before(text, choice.Last) });
            if (steps > 1 << 16)
            {
                meter.Add(steps); // a single run can be endless, so the meter looks in between
                steps = 0;
            }
        }
    }

    private static bool Repeat(ReadOnlySpan<char> text, in Instruction now, int next, ref int position, Stack<Choice> choices, ref long steps)
    {
        int count = 0, least = position; // least: the position after the least count
        while (count < now.B && position < text.Length && now.Set!.Contains(RuneAt(text, position, out int length)))
        {
            position += length;
            if (++count == now.A) least = position;
        }
        steps += count;
        if (count < now.A) return false;
        if (!now.Flag && position > least) choices.Push(new Choice(next, least, Before(text, position)));
        return true;
    }

    private static bool Advance(ref int position, int length)
    {
        position += length;
        return true;
    }

    private static bool Holds(Anchor anchor, ReadOnlySpan<char> text, int position)
    {
        switch (anchor)
        {
            case Anchor.TextStart: return position == 0;
            case Anchor.TextEnd: return position == text.Length;
            case Anchor.LineStart: return position == 0 || text[position - 1] == '\n';
            case Anchor.LineEnd: return position == text.Length || text[position] == '\n';
            default:
                bool before = position > 0 && RuneClass.Word.Contains(RuneBefore(text, position));
                bool after = position < text.Length && RuneClass.Word.Contains(RuneAt(text, position, out _));
                return before != after == (anchor == Anchor.WordBoundary);
        }
    }

    private static int RuneAt(ReadOnlySpan<char> text, int position, out int length)
    {
        char first = text[position];
        if (char.IsHighSurrogate(first) && position + 1 < text.Length && char.IsLowSurrogate(text[position + 1]))
        {
            length = 2;
            return char.ConvertToUtf32(first, text[position + 1]);
        }
        length = 1;
        return first;
    }

    private static int RuneLength(ReadOnlySpan<char> text, int position)
    {
        RuneAt(text, position, out int length);
        return length;
    }

    private static int RuneBefore(ReadOnlySpan<char> text, int position) => RuneAt(text, Before(text, position), out _);

    private static int Before(ReadOnlySpan<char> text, int position) =>
        position > 1 && char.IsLowSurrogate(text[position - 1]) && char.IsHighSurrogate(text[position - 2]) ? position - 2 : position - 1;

    private void Compile(PatternNode node, string pattern)
    {
        if (++_compiled > LongestProgram) throw TooLarge(pattern); // repeated nothings emit nothing
        switch (node)
        {
            case PatternNode.OneOf one:
                Emit(new Instruction(Op.One, one.Set), pattern);
                break;
            case PatternNode.Sequence sequence:
                foreach (PatternNode part in sequence.Parts) Compile(part, pattern);
                break;
            case PatternNode.Either either:
                List<int> exits = [];
                for (int i = 0; i < either.Choices.Count; i++)
                {
                    bool last = i == either.Choices.Count - 1;
                    int split = last ? -1 : Emit(new Instruction(Op.Split), pattern);
                    Compile(either.Choices[i], pattern);
                    if (last) break;
                    exits.Add(Emit(new Instruction(Op.Jump), pattern));
                    _program[split] = new Instruction(Op.Split, A: split + 1, B: _program.Count);
                }
                foreach (int exit in exits) _program[exit] = new Instruction(Op.Jump, A: _program.Count);
                break;
            case PatternNode.Repeat { Body: PatternNode.OneOf one, Greed: not Greed.Lazy } repeat:
                Emit(new Instruction(Op.Repeat, one.Set, repeat.Minimum, repeat.Maximum, repeat.Greed == Greed.Possessive), pattern);
                break;
            case PatternNode.Repeat { Greed: Greed.Possessive } repeat:
                Compile(new PatternNode.Atomic(repeat with { Greed = Greed.Greedy }), pattern);
                break;
            case PatternNode.Repeat repeat:
                CompileRepeat(repeat, pattern);
                break;
            case PatternNode.Look { Ahead: false } look:
                if (look.Body is not PatternNode.OneOf behind)
                    throw new LowbitException($"the pattern «{pattern}» looks back at more than one character, which is not supported; use a tokenizer without such a pattern.");
                Emit(new Instruction(Op.LookBehind, behind.Set, Flag: look.Negative), pattern);
                break;
            case PatternNode.Look look:
                CompileInner(look.Body, Op.Look, look.Negative, pattern);
                break;
            case PatternNode.Atomic atomic:
                CompileInner(atomic.Body, Op.Atomic, false, pattern);
                break;
            case PatternNode.At at:
                Emit(new Instruction(Op.At, A: (int)at.Anchor), pattern);
                break;
        }
    }

    private void CompileRepeat(PatternNode.Repeat repeat, string pattern)
    {
        for (int i = 0; i < repeat.Minimum; i++) Compile(repeat.Body, pattern);
        bool endless = repeat.Maximum == int.MaxValue;
        List<int> splits = [];
        for (int i = repeat.Minimum; i < (endless ? repeat.Minimum + 1 : repeat.Maximum); i++)
        {
            splits.Add(Emit(new Instruction(Op.Split), pattern));
            Compile(repeat.Body, pattern);
            if (endless) Emit(new Instruction(Op.Jump, A: splits[0]), pattern);
        }
        foreach (int split in splits)
        {
            int body = split + 1, exit = _program.Count;
            _program[split] = repeat.Greed == Greed.Lazy ? new Instruction(Op.Split, A: exit, B: body) : new Instruction(Op.Split, A: body, B: exit);
        }
    }

    private void CompileInner(PatternNode body, Op op, bool negative, string pattern)
    {
        int start = Emit(new Instruction(op), pattern);
        Compile(body, pattern);
        Emit(new Instruction(Op.Accept), pattern);
        _program[start] = new Instruction(op, A: _program.Count, Flag: negative);
    }

    private int Emit(Instruction instruction, string pattern)
    {
        if (_program.Count >= LongestProgram) throw TooLarge(pattern);
        _program.Add(instruction);
        return _program.Count - 1;
    }

    private static LowbitException TooLarge(string pattern) =>
        new($"the pattern «{pattern[..Math.Min(pattern.Length, 80)]}» needs more than {LongestProgram} instructions; use a tokenizer with simpler patterns.");
}
