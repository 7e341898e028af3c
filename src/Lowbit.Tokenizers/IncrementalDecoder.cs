using System;
using System.Text;

namespace Lowbit.Tokenizers;

/// <summary>
/// Turns ids into text piece by piece. A character whose bytes are spread over several tokens comes whole with the last
/// of them; the pieces together are what <see cref="Tokenizer.Decode"/> gives. Not for several threads at once.
/// </summary>
public sealed class IncrementalDecoder
{
    private readonly TokenText _tokens;
    private readonly bool _skipSpecial;
    private readonly System.Text.Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private int _leadingBlanks; // that are still to be dropped

    internal IncrementalDecoder(TokenText tokens, bool skipSpecial, bool continues)
    {
        _tokens = tokens;
        _skipSpecial = skipSpecial;
        _leadingBlanks = continues || tokens.Decoder.OnlyAfterBegin ? 0 : tokens.Decoder.LeadingBlanks;
    }

    /// <summary>The text that is complete with this token; often empty in the middle of a character.</summary>
    /// <param name="id">Id of the next token.</param>
    /// <exception cref="ArgumentOutOfRangeException">The vocabulary has no such id.</exception>
    public string Next(int id)
    {
        ReadOnlySpan<byte> bytes = _tokens.Bytes(id);
        if (_tokens.Decoder.OnlyAfterBegin && id == _tokens.BeginId) _leadingBlanks = _tokens.Decoder.LeadingBlanks;
        if (_skipSpecial && _tokens.IsSpecial(id)) return "";
        while (_leadingBlanks > 0 && bytes.Length > 0)
        {
            if (bytes[0] != ' ')
            {
                _leadingBlanks = 0;
                break;
            }
            bytes = bytes[1..];
            _leadingBlanks--;
        }
        return Text(bytes, flush: false);
    }

    /// <summary>The rest: a replacement character where the tokens ended in the middle of a character, otherwise nothing.</summary>
    public string Flush() => Text([], flush: true);

    /// <summary>The text of the last tokens, with what was left of those before.</summary>
    /// <param name="ids">Ids of the vocabulary.</param>
    /// <exception cref="ArgumentOutOfRangeException">The vocabulary has no such id.</exception>
    public string Last(ReadOnlySpan<int> ids)
    {
        StringBuilder text = new();
        foreach (int id in ids) text.Append(Next(id));
        return text.Append(Flush()).ToString();
    }

    private string Text(ReadOnlySpan<byte> bytes, bool flush)
    {
        int count = _utf8.GetCharCount(bytes, flush);
        if (count == 0)
        {
            _utf8.GetChars(bytes, [], flush);
            return "";
        }
        return string.Create(count, (Decoder: _utf8, Bytes: bytes.ToArray(), Flush: flush), static (text, state) => state.Decoder.GetChars(state.Bytes, text, state.Flush));
    }
}
