using System.Globalization;
using System.Linq;
using System.Text.Json;

namespace Lowbit.Formats.Llama2C;

/// <summary>
/// The tokenizer beside a model of llama2.c. Its name follows the size of the vocabulary, as in <c>tok512.bin</c>;
/// <c>tokenizer.bin</c> is Llama 2's.
/// </summary>
/// <param name="Path">The file.</param>
/// <param name="Vocabulary">Number of tokens, which the file does not tell.</param>
public sealed record Llama2CTokenizerFile(string Path, int Vocabulary)
{
    /// <summary>Finds the file, or gives null.</summary>
    /// <param name="folder">Where the model lies.</param>
    /// <param name="vocabulary">Size of the model's vocabulary.</param>
    public static Llama2CTokenizerFile? Find(string folder, int vocabulary)
    {
        string[] names = [string.Create(CultureInfo.InvariantCulture, $"tok{vocabulary}.bin"), "tokenizer.bin"];
        return names.Select(name => System.IO.Path.Combine(folder, name)).FirstOrDefault(System.IO.File.Exists) is { } found ? new Llama2CTokenizerFile(found, vocabulary) : null;
    }

    /// <summary>Finds the file of a model that was written anew as a folder; the configuration has the size of the vocabulary.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="config">What its <c>config.json</c> holds.</param>
    public static Llama2CTokenizerFile? Find(string folder, JsonElement config) =>
        config.TryGetProperty("vocab_size", out JsonElement size) && size.ValueKind == JsonValueKind.Number && size.TryGetInt32(out int vocabulary) ? Find(folder, vocabulary) : null;
}
