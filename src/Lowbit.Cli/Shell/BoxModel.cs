using System;
using System.IO;
using Lowbit.Core;

namespace Lowbit.Cli.Shell;

/// <summary>The model that comes with the program, beside it in <c>models/lowbit-stories</c>, and its texts.</summary>
internal static class BoxModel
{
    public const string Name = "lowbit-stories";

    /// <summary>Its folder.</summary>
    /// <exception cref="LowbitException">The program was moved without it.</exception>
    public static string Folder
    {
        get
        {
            string folder = Path.Combine(AppContext.BaseDirectory, "models", Name);
            return Directory.Exists(folder) ? folder
                : throw new LowbitException($"{folder}: the model that comes with lowbit is not there; keep the folder models beside the program, or name a MODEL and a --text of yours.");
        }
    }

    /// <summary>Texts that it was trained on: to calibrate with and to train on.</summary>
    public static string Stories => Path.Combine(Folder, "stories.jsonl");

    /// <summary>Texts of the same kind that it was not trained on.</summary>
    public static string HeldOut => Path.Combine(Folder, "held-out.jsonl");
}
